"""One file for each family of metrics."""
