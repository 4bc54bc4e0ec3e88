"""The command line that is being run, for the records and for continuing after an interruption."""

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
    """Make ``this_command`` give these arguments."""
    tokens = _arguments.set(tuple(arguments)), _checkpoints.set(())
    try:
        yield
    finally:
        _arguments.reset(tokens[0])
        _checkpoints.reset(tokens[1])


def leaves_checkpoints(paths: Sequence[Path]) -> None:
    """Say which files the training that begins can be resumed from, once one of them is there."""
    _checkpoints.set(tuple(paths))


def this_command() -> str:
    """The command line as a shell would read it."""
    return shlex.join(["gandiff", *_arguments.get()])


def command_to_continue() -> str:
    """The command line that continues this one.

    A run continues by itself, a training with ``--resume``, once it has saved a checkpoint.
    """
    saved = any(path.is_file() for path in _checkpoints.get())
    resumes = saved and "--resume" not in _arguments.get()
    return f"{this_command()} --resume" if resumes else this_command()
