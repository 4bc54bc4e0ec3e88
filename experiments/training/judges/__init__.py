"""Training of the judges: two scene classifiers and a scene CLIP."""
