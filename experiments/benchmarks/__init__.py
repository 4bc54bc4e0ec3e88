"""Benchmarks and maintenance scripts; they are not part of the wheel."""
