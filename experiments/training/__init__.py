"""Training of the shipped models and judges."""
