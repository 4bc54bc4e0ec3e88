"""Diffusers pipelines as Generators, and the networks of the small latent diffusion model."""
