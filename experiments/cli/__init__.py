"""The command line; ``main`` is what the ``gandiff`` script calls."""

from gandiff.experiments.cli.app import app, main

__all__ = ["app", "main"]
