"""Comparison files: read, validated, their paths resolved."""
