"""Generators: a prompt and a seed go in, an image comes out."""
