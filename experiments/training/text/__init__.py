"""Training of the small text encoder that conditions both generators."""
