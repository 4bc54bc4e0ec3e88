"""The mathematics of the metrics and of their intervals, on plain arrays."""
