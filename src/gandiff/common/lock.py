"""One writer at a time: locks on folders and files that the system takes back from the dead."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from gandiff.common.errors import RequestError
from gandiff.common.files import write_atomically

# filelock empties its file whenever somebody tries, so the holder's id is in one of its own.
LOCK, HOLDER = ".lock", ".lock-holder"


class WriterLock:
    """Held by the one process that writes ``what``; see ``folder_lock`` and ``file_lock``."""

    def __init__(self, what: Path, lock: Path, holder: Path, label: str = "") -> None:
        self._what, self._files, self._holder, self._label = what, (lock, holder), holder, label
        self._lock = FileLock(lock, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Take the lock; raises ``RequestError`` naming the process that has it."""
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire()
            while not self._files[0].exists():  # its last holder removed it meanwhile
                self._lock.release()
                self._lock.acquire()
        except Timeout:
            known = self._holder.read_text(encoding="utf-8") if self._holder.is_file() else ""
            id_ = next(iter(known.split()), "unknown")
            raise RequestError(
                f"{self._what} is being written by another process (id {id_}); "
                "wait for it to end, or choose another --out"
            ) from None
        text = f"{os.getpid()} {self._label}".rstrip() + "\n"
        try:
            write_atomically(self._holder, text.encode())  # who wrote here is known by it, too
        except BaseException:
            self._lock.release()
            raise

    def release(self, *, remove: bool = False) -> None:
        """Release the lock, and ``remove`` its files where nothing else came of it."""
        for file in self._files if remove else ():
            with contextlib.suppress(OSError):  # Windows keeps files that are open
                file.unlink()
        self._lock.release()


def folder_lock(folder: Path, label: str = "") -> WriterLock:
    """A lock on a file in the folder, where other machines see it, too.

    ``label`` stays there behind the holder's id: it says what has written into the folder.
    """
    return WriterLock(folder, folder / LOCK, folder / HOLDER, label)


def file_lock(path: Path) -> WriterLock:
    """A lock on a single file; it lies with the machine's temporary files, not beside the file."""
    places = Path(tempfile.gettempdir(), f"gandiff-locks-{getattr(os, 'getuid', int)()}")
    places.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return WriterLock(path, places / f"{name}.lock", places / f"{name}.holder")
