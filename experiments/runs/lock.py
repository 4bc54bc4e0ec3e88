"""One writer at a time: a lock on a folder that the system takes back when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from gandiff.common.errors import RequestError


class FolderLock:
    """An advisory lock on a file in the folder; killed processes leave none behind."""

    NAME = ".lock"

    def __init__(self, folder: Path) -> None:
        self._path = folder / self.NAME
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; raises ``RequestError`` naming the process that has it."""
        if self._file is not None:
            return
        file = self._path.open("a+", encoding="utf-8")
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise RequestError(
                f"{self._path.parent} is being written by another process (id {holder}); "
                "wait for it to end, or choose another --out"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        # Far behind the text, which stays readable: Windows locks ranges against reading too.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
