"""Prompt suites and the files that they are read from."""
