"""Measurement: images and captions go in, numbers with error bars come out."""
