"""The command line that is being run, for the records and for going on after an interruption."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())
_checkpoints: ContextVar[Sequence[Path]] = ContextVar("checkpoints", default=())


@contextmanager
def invocation(arguments: Sequence[str]) -> Iterator[None]:
    """Make ``this_command`` tell these arguments."""
    told, left = _arguments.set(tuple(arguments)), _checkpoints.set(())
    try:
        yield
    finally:
        _arguments.reset(told)
        _checkpoints.reset(left)


def leaves_checkpoints(paths: Sequence[Path]) -> None:
    """Tell which files the training that begins can be resumed from, once one of them is there."""
    _checkpoints.set(tuple(paths))


def this_command() -> str:
    """The command line as a shell would read it."""
    return shlex.join(["gandiff", *_arguments.get()])


def command_that_goes_on() -> str:
    """The command line that continues this one.

    A run continues by itself, a training when told; one that has not saved anything starts again.
    """
    told = "--resume" in _arguments.get()
    resumable = any(path.is_file() for path in _checkpoints.get())
    return f"{this_command()} --resume" if resumable and not told else this_command()
