"""One update of a network from the gradients of all parts of a batch, on all processes."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gandiff.experiments.training.loop import NonFiniteError
from gandiff.experiments.training.muon import Together
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import TrainingRequest

_LARGEST = 1.0  # norm of a gradient


def parts_of(request: TrainingRequest, rows: range) -> Iterator[slice]:
    """The parts of this process's rows that are worked on one after the other."""
    edges = np.linspace(rows.start, rows.stop, request.accumulate + 1).astype(int)
    return (slice(a, b) for a, b in itertools.pairwise(edges) if b > a)


def update(
    optimizer: torch.optim.Optimizer | Together,
    parameters: Sequence[nn.Parameter],
    ranks: Ranks,
    what: str,
) -> float:
    """Add up the gradients of all processes, cut their norm, take the step; returns the norm."""
    ranks.all_reduce(p.grad for p in parameters if p.grad is not None)
    size = float(torch.nn.utils.clip_grad_norm_(parameters, _LARGEST))
    if not math.isfinite(size):
        raise NonFiniteError(f"norm of the {what}'s gradient = {size}")
    optimizer.step()
    return size


def digest(module: Any) -> str:
    """Sha256 of all weights of a network, by name."""
    sha = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        value: Tensor = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        sha.update(value.numpy().tobytes())
    return sha.hexdigest()
