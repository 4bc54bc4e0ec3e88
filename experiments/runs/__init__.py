"""A run and its folder: planned, locked, generated, resumed, replayed."""
