"""Feature extractors, one file per network."""
