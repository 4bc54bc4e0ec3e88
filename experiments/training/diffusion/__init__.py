"""Training of the small latent diffusion model."""
