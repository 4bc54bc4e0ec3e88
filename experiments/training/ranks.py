"""Several processes that train one model: each works on its share of every batch.

Losses are sums over rows divided by the size of the whole batch, so gradients are added, not
averaged, and the result does not depend on how many processes there are.

Torch's own launcher (``torch.distributed.launcher.elastic_launch``, tried with torch 2.14) does not
do here: it passes a Ctrl-C on that the terminal has sent to its processes already, and the second
one would break off the step; 30 s later it kills a process that is still saving; when it is killed
itself, its processes get an interrupt and finish a step that may take minutes; and an error comes
back as a ``ChildFailedError`` after a traceback on stderr.
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
_TIME_TO_SAVE = 120.0  # s, once one of several that were asked to stop has
_TIME_TO_FAIL = 2.0  # s for the others to say what is wrong, once one has failed
# What a child may end with whose text says it all, the narrowest first.
EXPECTED_ERRORS = (Diverged, RequestError, GeneratorError, MetricError, EnvironmentFailure)


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


@dataclasses.dataclass(frozen=True)
class _Job:
    """What every process does; in ``folder`` they meet and leave what went wrong."""

    folder: Path
    work: Callable[..., Any]
    request: Any
    arguments: tuple[Any, ...]


def launch(work: Callable[..., Any], request: Any, *arguments: Any) -> None:
    """Call ``work(request, ranks, *arguments)`` in ``request.processes`` processes.

    One process is this one. An error in one of several is raised here. Ctrl-C asks all of them to
    stop, waits until they have, and is raised then; a second one ends them at once.
    """
    if request.processes == 1:
        work(request, SINGLE_PROCESS, *arguments)
        return
    with tempfile.TemporaryDirectory(prefix="gandiff-") as folder:
        _run_children(_Job(Path(folder), work, request, arguments))


def _run_children(job: _Job) -> None:
    # Spawned, not forked: a copy of a process with threads of torch in it may hang.
    context = multiprocessing.get_context("spawn")
    children = [
        context.Process(target=_child, args=(rank, job)) for rank in range(job.request.processes)
    ]
    presses: list[float] = []
    with on_interrupt(lambda *_: presses.append(time.monotonic())):
        with _signals_blocked():
            for child in children:
                child.start()
        _wait(children, presses, job.folder)
    for kind in EXPECTED_ERRORS:
        for message in sorted(job.folder.glob(f"{kind.__name__}-*")):
            raise kind(message.read_text(encoding="utf-8"))
    codes = [child.exitcode for child in children]
    if presses or _INTERRUPTED in codes:
        raise KeyboardInterrupt
    if any(codes):
        raise RuntimeError(f"a training process ended with {next(c for c in codes if c)}")


def _wait(children: Sequence[BaseProcess], presses: Sequence[float], folder: Path) -> None:
    """Wait for all; pass the first Ctrl-C on; end those that would wait for one that ended."""
    asked, deadline = False, math.inf
    while any(child.is_alive() for child in children):
        time.sleep(0.05)
        if presses and not asked:
            asked = True
            _ask_to_stop(children)
        codes = [child.exitcode for child in children]
        if any(codes) and deadline == math.inf:
            # Before they met, one waits for the other and has nothing to save.
            met = all((folder / f"met-{rank}").exists() for rank in range(len(children)))
            saving = met and (asked or _INTERRUPTED in codes)
            deadline = time.monotonic() + (_TIME_TO_SAVE if saving else _TIME_TO_FAIL)
        if len(presses) > 1 or time.monotonic() > deadline:
            for child in children:
                child.kill()


def _ask_to_stop(children: Sequence[BaseProcess]) -> None:
    if sys.platform == "win32":  # Ctrl-C has reached them, and os.kill would end them at once
        return
    for child in children:
        if child.pid is not None and child.is_alive():
            os.kill(child.pid, _STOP)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Processes that are started meanwhile do not get the Ctrl-C of the terminal.

    A terminal signals all its processes at once. With what is passed on a child would get two, and
    the second one breaks off its step. They stay in the terminal's group all the same, and so are
    suspended and hung up with us. What asks them to stop waits until they listen.
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


def _child(rank: int, job: _Job) -> None:
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        _train(Ranks(rank, job.request.processes), job, asked=_listen())
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _train(ranks: Ranks, job: _Job, asked: threading.Event) -> None:
    device = job.request.device
    _join((job.folder / "meeting").as_uri(), ranks, device)
    (job.folder / f"met-{ranks.rank}").touch()
    if device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.count))
    own = dataclasses.replace(job.request, device=_own_device(device, ranks.rank))
    try:
        job.work(own, ranks, *job.arguments)
    except Exception as error:
        reported = environment_failure(error) or error
        for kind in EXPECTED_ERRORS:
            if isinstance(reported, kind):
                path = job.folder / f"{kind.__name__}-{ranks.rank}"
                path.write_text(str(reported), encoding="utf-8")
                raise SystemExit(_FAILED) from None
        if asked.is_set():  # another one stopped sooner, and did not answer this one any more
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
    """End at once when the parent is gone: nobody else would ever stop this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(_FAILED)


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
