"""The command line that is being run, for the records and for going on after an interruption."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_arguments: ContextVar[Sequence[str]] = ContextVar("arguments", default=())


@contextmanager
def invocation(arguments: Sequence[str]) -> Iterator[None]:
    """Make ``this_command`` tell these arguments."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def this_command() -> str:
    """The command line as a shell would read it."""
    return shlex.join(["gandiff", *_arguments.get()])


def command_that_goes_on() -> str:
    """The command line that continues this one; a run continues by itself, a training when told."""
    arguments = _arguments.get()
    continues = arguments[:1] != ("train",) or "--resume" in arguments
    return this_command() if continues else f"{this_command()} --resume"
