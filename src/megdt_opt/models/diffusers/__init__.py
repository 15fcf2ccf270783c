"""Pipelines of diffusers as models that can be split.

Importing this package loads no torch.
"""
