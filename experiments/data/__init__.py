"""Captioned images to train on: scenes rendered on the fly, folders, COCO captions."""
