"""One writer at a time: a lock on a folder that the system takes back when its holder dies."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from gandiff.common.errors import RequestError


class FolderLock:
    """A lock on a file in the folder; killed processes leave none behind."""

    # filelock empties its file whenever somebody tries, so the holder's id is in one of its own.
    NAME, HOLDER = ".lock", ".lock-holder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / self.NAME, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Take the lock; raises ``RequestError`` naming the process that has it."""
        if self._lock.is_locked:
            return
        holder = self._folder / self.HOLDER
        try:
            self._lock.acquire()
        except Timeout:
            id_ = holder.read_text(encoding="utf-8").strip() if holder.is_file() else ""
            raise RequestError(
                f"{self._folder} is being written by another process (id {id_ or 'unknown'}); "
                "wait for it to end, or choose another --out"
            ) from None
        holder.write_text(f"{os.getpid()}\n", encoding="utf-8")

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()
