"""Loaded weights that several generators use: read once, kept while one of them holds them.

Two operating points of a model differ in what a call is given and share what was read. Whoever
changes something on a shared thing for a call puts it back before the call ends.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from gandiff.common.files import expanded

T = TypeVar("T")


class Shared(Generic[T]):
    """One thing that was loaded; it goes when nobody holds this object any more.

    ``lock`` is held for a whole call: between two calls everything is as it was loaded.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._values: list[T] = []

    def load(self, load: Callable[[], T]) -> T:
        """What was loaded, by ``load`` if nobody did so before; its errors pass."""
        with self.lock:
            if not self._values:
                self._values.append(load())
            return self._values[0]

    @property
    def is_loaded(self) -> bool:
        """Whether somebody has loaded it."""
        return bool(self._values)

    @property
    def value(self) -> T:
        """What ``load`` gave."""
        return self._values[0]


_ALL: weakref.WeakValueDictionary[Hashable, Shared[Any]] = weakref.WeakValueDictionary()
_GUARD = threading.Lock()
_APART = contextvars.ContextVar("apart", default=False)
_FOUND: contextvars.ContextVar[dict[Hashable, dict[Hashable, Any]] | None]
_FOUND = contextvars.ContextVar("found", default=None)


def shared(key: Hashable | None) -> Shared[Any]:
    """The one thing of this key, loaded or not; None stands for something that nobody shares."""
    if key is None or _APART.get():
        return Shared()
    with _GUARD:
        held = _ALL.get(key)
        if held is None:
            held = _ALL[key] = Shared()
        return held


def is_loaded(key: Hashable | None) -> bool:
    """Whether somebody holds what is loaded under a key, so that loading it takes no time."""
    held = _ALL.get(key)
    return held is not None and held.is_loaded and not _APART.get()


@contextlib.contextmanager
def kept(key: Hashable | None) -> Iterator[None]:
    """Keep what is loaded under a key until the end, even while no generator holds it."""
    held = shared(key)
    try:
        yield
    finally:
        gone = weakref.ref(held)
        del held
        free_memory(gone)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Load everything again inside, as if nobody else had: for measuring what loading takes."""
    token = _APART.set(True)
    try:
        yield
    finally:
        _APART.reset(token)


@contextlib.contextmanager
def findings_kept() -> Iterator[None]:
    """Keep what generators find out on the way until the end, such as what a picture is made of:
    who loads the same weights inside need not search again.
    """
    token = _FOUND.set({}) if _FOUND.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _FOUND.reset(token)


def findings(key: Hashable) -> dict[Hashable, Any] | None:
    """What was found out with the weights of this key, to read and to add to; None where nothing is
    kept, and for who is ``apart``.
    """
    found = None if _APART.get() else _FOUND.get()
    return None if found is None else found.setdefault(key, {})


def free_memory(of: Callable[[], object] | None = None) -> None:
    """Give the memory of what was dropped back to the system and to the accelerator.

    ``of`` is a weak reference to it: nothing is done as long as somebody else holds it.
    """
    if of is not None and of() is not None:
        return
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def sharing_key(
    kind: str, settings: Mapping[str, Any], per_call: Collection[str], *more: Hashable
) -> Hashable:
    """All that decides what a generator reads: its settings but for those that only a call reads,
    the state of the files and folders that they name, and ``more`` (device, number format, commit).
    """
    read = {name: value for name, value in settings.items() if name not in per_call}
    return kind, _plain(read), *more


def files_state(path: Path) -> Hashable:
    """A file or all below a folder, by size, times of change and number in the file system."""
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return tuple((str(file), *_state(file)) for file in files)


def _state(file: Path) -> tuple[int, ...]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _plain(value: Any) -> Hashable:
    """A setting as something that can be compared; a text that names a path, with what is there."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), _plain(one)) for name, one in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_plain(one) for one in value)
    state: Hashable = ()
    if isinstance(value, str):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # no path, whatever it is
            state = files_state(expanded(value))
    return f"{type(value).__name__} {value!r}", state
