"""Ctrl-C while something runs that must not be broken off half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    """Call ``handler`` on Ctrl-C, in place of what was called before.

    Nothing changes in other threads than the main one, which get no signals, nor where the signal
    is ignored, as in a background job of a shell.
    """
    before = signal.getsignal(signal.SIGINT)
    if not in_main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_main_thread() -> bool:
    """Whether signals are handled here."""
    return threading.current_thread() is threading.main_thread()
