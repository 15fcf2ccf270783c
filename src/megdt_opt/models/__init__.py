"""Diffusion models that can be timed and split: the twin, diffusers' pipelines, and what they share."""
