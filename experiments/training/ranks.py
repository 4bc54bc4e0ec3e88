"""Several processes that train one model: each works on its share of every batch.

Losses are sums over rows divided by the size of the whole batch, so gradients are added, not
averaged, and the result does not depend on how many processes there are.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PATIENCE = datetime.timedelta(minutes=30)  # others wait while the first one evaluates


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is; rank 0 alone writes and speaks."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """This process's rows of a batch of n."""
        return range(n * self.rank // self.count, n * (self.rank + 1) // self.count)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Add each tensor up over all processes, in place, with one message."""
        if self.count == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, *values: float) -> list[float]:
        """What the first process says."""
        if self.count == 1:
            return list(values)
        said = torch.tensor(values, dtype=torch.float64, device=_device())
        torch.distributed.broadcast(said, 0)
        return [float(value) for value in said]

    def anyone(self, flag: bool) -> bool:
        """Whether any process says yes."""
        if self.count == 1:
            return flag
        said = torch.tensor(float(flag), device=_device())
        torch.distributed.all_reduce(said)
        return bool(said > 0)


ALONE = Ranks()


def _device() -> str:
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def launch(work: Callable[..., Any], request: Any, *arguments: Any) -> None:
    """Call ``work(request, ranks, *arguments)`` in ``request.processes`` processes.

    One process is this one. A ``torchrun`` that started us decides instead, where there is one.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _join("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), request.device)
        ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        work(dataclasses.replace(request, device=_own_device(request.device)), ranks, *arguments)
    elif request.processes == 1:
        work(request, ALONE, *arguments)
    else:
        with tempfile.TemporaryDirectory(prefix="gandiff-") as folder:
            meeting = Path(folder, "meeting").as_uri()
            spawn: Any = importlib.import_module("torch.multiprocessing").spawn  # untyped
            spawn(_child, (work, request, meeting, arguments), nprocs=request.processes)


def _child(rank: int, work: Any, request: Any, meeting: str, arguments: tuple[Any, ...]) -> None:
    ranks = Ranks(rank, request.processes)
    os.environ.setdefault("LOCAL_RANK", str(rank))
    _join(meeting, rank, ranks.count, request.device)
    if request.device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.count))
    try:
        work(dataclasses.replace(request, device=_own_device(request.device)), ranks, *arguments)
    finally:
        torch.distributed.destroy_process_group()


def _join(meeting: str, rank: int, count: int, device: str) -> None:
    backend = "nccl" if device.startswith("cuda") else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=count, timeout=_PATIENCE
    )


def _own_device(device: str) -> str:
    if device != "cuda":
        return device
    own = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(own)
    return f"cuda:{own}"
