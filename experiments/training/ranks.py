"""Several processes that train one model: each works on its share of every batch.

Losses are sums over rows divided by the size of the whole batch, so gradients are added, not
averaged, and the result does not depend on how many processes there are.
"""

from __future__ import annotations

import dataclasses
import datetime
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandiff.experiments.errors import EnvironmentFailure, RequestError, environment_failure

_PATIENCE = datetime.timedelta(minutes=30)  # others wait while the first one evaluates
_INTERRUPTED, _FAILED, _REFUSED = 130, 1, 2


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
        nccl = torch.distributed.get_backend() == "nccl"
        said = torch.tensor(values, dtype=torch.float64, device="cuda" if nccl else "cpu")
        torch.distributed.broadcast(said, 0)
        return [float(value) for value in said]


ALONE = Ranks()


def launch(work: Callable[..., Any], request: Any, *arguments: Any) -> None:
    """Call ``work(request, ranks, *arguments)`` in ``request.processes`` processes.

    One process is this one. A ``torchrun`` that started us decides instead, where there is one. An
    error or Ctrl-C in one of them is raised here.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        _join("env://", ranks, request.device)
        work(dataclasses.replace(request, device=_own_device(request.device)), ranks, *arguments)
    elif request.processes == 1:
        work(request, ALONE, *arguments)
    else:
        with tempfile.TemporaryDirectory(prefix="gandiff-") as folder:
            _launch_children(Path(folder), work, request, arguments)


def _launch_children(
    folder: Path, work: Callable[..., Any], request: Any, arguments: tuple[Any, ...]
) -> None:
    # Started afresh, not forked: a copy of a process with threads of torch in it may hang.
    context = multiprocessing.get_context("spawn")
    children = [
        context.Process(target=_child, args=(rank, folder, work, request, arguments))
        for rank in range(request.processes)
    ]
    with _pass_on_interrupts(children):
        for child in children:
            child.start()
        while any(child.is_alive() for child in children):
            time.sleep(0.05)
            if any(child.exitcode for child in children):  # the others would wait for it for ever
                time.sleep(2.0)
                for child in children:
                    child.terminate()
    codes = [child.exitcode for child in children]
    if _INTERRUPTED in codes:
        raise KeyboardInterrupt
    for kind, error in (("refused", RequestError), ("failed", EnvironmentFailure)):
        said = sorted(folder.glob(f"{kind}-*"))
        if said:
            raise error(said[0].read_text(encoding="utf-8"))
    if any(codes):
        raise RuntimeError(f"a training process ended with {next(c for c in codes if c)}")


def _child(rank: int, folder: Path, work: Any, request: Any, arguments: tuple[Any, ...]) -> None:
    ranks = Ranks(rank, request.processes)
    os.environ.setdefault("LOCAL_RANK", str(rank))
    _join((folder / "meeting").as_uri(), ranks, request.device)
    if request.device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.count))
    own = dataclasses.replace(request, device=_own_device(request.device))
    try:
        work(own, ranks, *arguments)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except RequestError as error:
        (folder / f"refused-{rank}").write_text(str(error), encoding="utf-8")
        raise SystemExit(_REFUSED) from None
    except Exception as error:
        failure = environment_failure(error)
        if failure is None:
            raise
        (folder / f"failed-{rank}").write_text(str(failure), encoding="utf-8")
        raise SystemExit(_FAILED) from None
    torch.distributed.destroy_process_group()


@contextmanager
def _pass_on_interrupts(children: Sequence[BaseProcess]) -> Iterator[None]:
    """Ctrl-C here asks the children to stop, and waits until they have saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(*_: object) -> None:
        for child in children:
            if child.pid is not None and child.is_alive():
                os.kill(child.pid, signal.SIGINT)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _join(meeting: str, ranks: Ranks, device: str) -> None:
    torch.distributed.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo",
        init_method=meeting,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=_PATIENCE,
    )


def _own_device(device: str) -> str:
    if device != "cuda":
        return device
    own = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(own)
    return f"cuda:{own}"
