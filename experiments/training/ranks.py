"""Several processes that train one model: each works on its share of every batch.

Losses are sums over rows divided by the size of the whole batch, so gradients are added, not
averaged, and the result does not depend on how many processes there are.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandiff.common.errors import (
    Diverged,
    EnvironmentFailure,
    GeneratorError,
    MetricError,
    RequestError,
    environment_failure,
)
from gandiff.experiments.training.interrupts import in_main_thread, on_interrupt

_PATIENCE = datetime.timedelta(minutes=30)  # others wait while the first one evaluates
_INTERRUPTED, _FAILED = 130, 1
# From the parent: stop as if Ctrl-C had been pressed. Windows lacks it, and there a console does
# without what is written here for terminals.
_STOP: signal.Signals = getattr(signal, "SIGUSR1", signal.SIGINT)
_SAVING = 120.0  # s, once one of several that were asked to stop has
_TELLING = 2.0  # s for the others to say what is wrong, once one has failed
# What a child may end with that its text tells in full, the narrowest first.
_TOLD = (Diverged, RequestError, GeneratorError, MetricError, EnvironmentFailure)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is; rank 0 alone writes and speaks."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def shard(self, n: int) -> range:
        """This process's rows of a batch of n."""
        return range(n * self.rank // self.count, n * (self.rank + 1) // self.count)

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Add each tensor up over all processes, in place, with one message."""
        if self.count == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([t.reshape(-1) for t in tensors])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, *values: float) -> list[float]:
        """What the first process says."""
        if self.count == 1:
            return list(values)
        nccl = torch.distributed.get_backend() == "nccl"
        said = torch.tensor(values, dtype=torch.float64, device="cuda" if nccl else "cpu")
        torch.distributed.broadcast(said, 0)
        return [float(value) for value in said]


SINGLE_PROCESS = Ranks()


def launch(work: Callable[..., Any], request: Any, *arguments: Any) -> None:
    """Call ``work(request, ranks, *arguments)`` in ``request.processes`` processes.

    One process is this one. An error in one of several is raised here. Ctrl-C asks all of them to
    stop, waits until they have, and is raised then; a second one ends them at once.
    """
    if request.processes == 1:
        work(request, SINGLE_PROCESS, *arguments)
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
    presses: list[float] = []
    with on_interrupt(lambda *_: presses.append(time.monotonic())):
        with _out_of_reach():
            for child in children:
                child.start()
        _wait(children, presses, folder)
    for kind in _TOLD:
        said = sorted(folder.glob(f"{kind.__name__}-*"))
        if said:
            raise kind(said[0].read_text(encoding="utf-8"))
    codes = [child.exitcode for child in children]
    if presses or _INTERRUPTED in codes:
        raise KeyboardInterrupt
    if any(codes):
        raise RuntimeError(f"a training process ended with {next(c for c in codes if c)}")


def _wait(children: Sequence[BaseProcess], presses: Sequence[float], folder: Path) -> None:
    """Wait for all; pass the first Ctrl-C on; end those that would wait for one that ended."""
    told, until = False, math.inf
    while any(child.is_alive() for child in children):
        time.sleep(0.05)
        if presses and not told:
            told = True
            _ask_to_stop(children)
        codes = [child.exitcode for child in children]
        if any(codes) and until == math.inf:
            # Before they met, one waits for the other and has nothing to save.
            met = all((folder / f"met-{rank}").exists() for rank in range(len(children)))
            stopping = met and (told or _INTERRUPTED in codes)
            until = time.monotonic() + (_SAVING if stopping else _TELLING)
        if len(presses) > 1 or time.monotonic() > until:
            for child in children:
                child.kill()


def _ask_to_stop(children: Sequence[BaseProcess]) -> None:
    if sys.platform == "win32":  # Ctrl-C has reached them, and os.kill would end them at once
        return
    for child in children:
        if child.pid is not None and child.is_alive():
            os.kill(child.pid, _STOP)


@contextmanager
def _out_of_reach() -> Iterator[None]:
    """Processes that are started meanwhile do not get the Ctrl-C of the terminal.

    A terminal signals all its processes at once. With what is passed on a child would get two, and
    the second one breaks its step off. They stay in the terminal's group all the same, and so are
    halted and hung up with us. What asks them to stop waits until they listen.
    """
    if sys.platform == "win32" or not in_main_thread():  # nobody passes anything on
        yield
        return
    resource_tracker.ensure_running()  # started by the first child, it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, _STOP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(rank: int, folder: Path, work: Any, request: Any, arguments: tuple[Any, ...]) -> None:
    try:
        _end_with_parent()
        asked = _listen()
        _take_part(Ranks(rank, request.processes), folder, work, request, arguments, asked)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _take_part(
    ranks: Ranks,
    folder: Path,
    work: Any,
    request: Any,
    arguments: tuple[Any, ...],
    asked: threading.Event,
) -> None:
    _join((folder / "meeting").as_uri(), ranks, request.device)
    (folder / f"met-{ranks.rank}").touch()
    if request.device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.count))
    own = dataclasses.replace(request, device=_own_device(request.device, ranks.rank))
    try:
        work(own, ranks, *arguments)
    except Exception as error:
        told = environment_failure(error) or error
        kind = next((kind for kind in _TOLD if isinstance(told, kind)), None)
        if kind is not None:
            (folder / f"{kind.__name__}-{ranks.rank}").write_text(str(told), encoding="utf-8")
            raise SystemExit(_FAILED) from None
        if asked.is_set():  # another one was quicker to stop, and left this one's message unheard
            raise SystemExit(_INTERRUPTED) from None
        raise
    finally:  # whatever ended it: a process that ends in a group aborts now and then
        torch.distributed.destroy_process_group()


def _listen() -> threading.Event:
    """From here on do what Ctrl-C would do when the parent asks to stop; set once it has."""
    asked = threading.Event()
    if sys.platform == "win32":
        return asked

    def stop(*_: object) -> None:
        asked.set()
        usual = signal.getsignal(signal.SIGINT)
        if callable(usual):
            usual(signal.SIGINT, None)

    signal.signal(_STOP, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {_STOP})
    return asked


def _end_with_parent() -> None:
    """End at once if the parent is gone: nobody else would ever stop this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(_FAILED)

    threading.Thread(target=watch, daemon=True).start()


def _join(meeting: str, ranks: Ranks, device: str) -> None:
    torch.distributed.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo",
        init_method=meeting,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=_PATIENCE,
    )


def _own_device(device: str, rank: int) -> str:
    if device != "cuda":
        return device
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"
