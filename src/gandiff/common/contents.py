"""What files hold, by hash: a file is read again only if it may have changed since."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from gandiff.common.files import write_atomically

# A file that changed so shortly before it was read may change again without another time of change.
RACY_NS = 2 * 10**9


class FileMark(NamedTuple):
    """What a file held when it was read, and how its entry in the file system looked then."""

    path: str
    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    read_ns: int  # when reading began

    def fits(self, status: os.stat_result) -> bool:
        """Whether the file can be taken to hold the same, by its entry alone."""
        same = (self.size, self.mtime_ns, self.ctime_ns, self.inode) == (
            *(status.st_size, status.st_mtime_ns),
            *(status.st_ctime_ns, status.st_ino),
        )
        return same and max(self.mtime_ns, self.ctime_ns) + RACY_NS <= self.read_ns


def read_marked(path: Path) -> tuple[bytes, FileMark]:
    """The bytes of a file and its mark; raises ``OSError``."""
    began = time.time_ns()
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        data = file.read()
    return data, _mark(path, hashlib.sha256(data).hexdigest(), status, began)


class ContentLedger:
    """The hashes of files outside of a folder, kept in one file from process to process.

    ``changed`` are the files that were recorded with other contents, in the order of looking.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Read what the file says, if there is one; without it, hashes are kept in memory."""
        self._file = file
        self._marks = _read(file) if file is not None else {}
        self._dirty = False
        self.changed: dict[str, None] = {}

    def sha256(self, path: Path) -> str | None:
        """Sha256 of a file as it is now; None if there is none, or none that can be read."""
        place = os.path.abspath(path)
        known = self._marks.get(place)
        began = time.time_ns()
        try:
            status = os.stat(place)
            if known is not None and known.fits(status):
                return known.sha256
            with open(place, "rb") as file:
                status = os.fstat(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        self.note(_mark(path, digest, status, began))
        return digest

    def note(self, mark: FileMark) -> None:
        """Take in what a file held when somebody else read it."""
        known = self._marks.get(mark.path)
        if known is not None and known.sha256 != mark.sha256:
            self.changed[mark.path] = None
        self._marks[mark.path] = mark
        self._dirty = True

    def save(self) -> None:
        """Write the file, if there is anything new to say."""
        if self._dirty and self._file is not None:
            text = "".join(f"{json.dumps(mark)}\n" for mark in self._marks.values())
            write_atomically(self._file, text.encode())
            self._dirty = False


def _mark(path: Path, sha256: str, status: os.stat_result, began: int) -> FileMark:
    return FileMark(
        os.path.abspath(path),
        sha256,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        began,
    )


def _read(file: Path) -> dict[str, FileMark]:
    """The marks of a ledger; what cannot be read says nothing, and files are then hashed again."""
    try:
        text = file.read_text(encoding="utf-8")
        marks = [FileMark(*json.loads(line)) for line in text.split("\n") if line]
    except (OSError, ValueError, TypeError):
        return {}
    return {mark.path: mark for mark in marks}
