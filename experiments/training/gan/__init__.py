"""Training of the text-conditioned GAN."""
