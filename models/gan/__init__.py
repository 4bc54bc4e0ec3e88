"""The text-conditioned GAN: networks, checkpoint and Generator."""
