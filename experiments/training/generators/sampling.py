"""How pictures are sampled during a training: in pieces that fit where a step does."""

from __future__ import annotations

from gandiff.experiments.training.request import TrainingRequest

CHUNK = 124  # pictures sampled at once, at most; whole groups of minibatch deviation
LIGHTER = 4  # times as many as a training step works on: nothing is kept for gradients


def chunks(request: TrainingRequest, n: int) -> list[slice]:
    """Rows to work on together, as many as fit where a training step does."""
    step = request.batch_size // (request.accumulate * request.processes)
    size = min(CHUNK, LIGHTER * step)
    return [slice(start, start + size) for start in range(0, n, size)]
