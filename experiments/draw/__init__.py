"""Pictures of a prompt by several models, side by side: the first thing to try."""
