"""The bundled twin model: scenes of a factory cell and a small latent diffusion model of them.

Importing this package loads no torch; `megdt_opt.models.twin.model` and `megdt_opt.models.twin.detector` do.
"""
