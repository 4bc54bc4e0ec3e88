"""Which files of a folder are pictures: one walk for scoring, references, training and folders as
generators.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from gandiff.common.errors import GandiffError, RequestError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif"),
    *(".bmp", ".gif", ".tif", ".tiff", ".ppm"),
)
"""Endings of the pictures that are read, in small letters; files may have them in any case."""
# What is expected beside pictures, so that nothing is said of it: texts, tables, statistics.
_BESIDE = (
    *(".txt", ".caption", ".md", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".xml", ".html"),
    *(".yaml", ".yml", ".log", ".npz", ".npy", ".py", ".ipynb", ".db", ".ini", ".safetensors"),
)
_HIDDEN, _ENDING, _BROKEN, _LOOP, _CLOSED, _SPECIAL = (
    "hidden",
    "of other endings",
    "broken links",
    "links that lead back to where they are",
    "folders that cannot be opened",
    "pipes and devices",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """The pictures below a folder; the same in any order that the file system gives.

    ``names`` are relative to ``folder``, with ``/`` between parts, sorted part by part.
    ``left_out`` counts by reason what may have been meant to be a picture and is not among them.
    """

    folder: Path
    names: tuple[str, ...]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of the names."""
        return [self.folder / name for name in self.names]

    def remarks(self) -> list[str]:
        """A line that counts by reason what was left out; none where nothing was."""
        return [f"{self.folder}: {_listed(self.left_out)}"] if self.left_out else []


def is_picture(name: str) -> bool:
    """Whether a file's name ends like a picture's."""
    return name.lower().endswith(SUFFIXES)


def list_pictures(folder: Path, error: type[GandiffError] = RequestError) -> PictureFiles:
    """List the pictures below a folder, following links to files and folders.

    Hidden ones (a name on the way begins with a dot) are left out, and so are other endings, links
    that lead nowhere or back to where they are, and folders that cannot be opened; all are counted.
    No file is opened. Raises ``error`` if the folder itself cannot be read.
    """
    walk = _Walk(folder)
    try:
        status = os.stat(folder)
        with os.scandir(folder):
            pass
    except OSError as problem:
        raise error(f"the folder {folder} cannot be read: {problem.strerror}") from None
    walk.enter("", (status.st_dev, status.st_ino))
    names = sorted(walk.names, key=lambda name: name.split("/"))
    return PictureFiles(folder=folder, names=tuple(names), left_out=walk.counted())


def no_pictures(pictures: PictureFiles, named: str | None = None) -> str:
    """Say that a folder (by the name that was given) holds none, and what was left out."""
    more = f"; {_listed(pictures.left_out)}" if pictures.left_out else ""
    return (
        f"the folder {named or pictures.folder} holds no image files ({', '.join(SUFFIXES)}){more}"
    )


def _listed(left_out: Mapping[str, int]) -> str:
    return f"left out: {', '.join(f'{count} {reason}' for reason, count in left_out.items())}"


_Identity = tuple[int, int]  # device and inode


class _Walk:
    def __init__(self, folder: Path) -> None:
        self._root = str(folder)
        self.names: list[str] = []
        self._counts: Counter[str] = Counter()
        self._endings: Counter[str] = Counter()

    def enter(self, below: str, identity: _Identity) -> None:
        """List a folder and those below; a stack, as trees may be deeper than calls can be."""
        stack = [(below, frozenset({identity}), False)]
        while stack:
            below, on_the_way, hidden = stack.pop()
            prefix = f"{below}/" if below else ""
            for entry in self._entries(below):
                dotted = hidden or entry.name.startswith(".")
                if not _is_folder(entry):
                    self._file(entry, prefix + entry.name, hidden=dotted)
                    continue
                inner = self._identity(entry)
                if inner in on_the_way:
                    self._counts[_LOOP] += 1
                elif inner is not None and not (dotted and entry.is_symlink()):
                    stack.append((prefix + entry.name, on_the_way | {inner}, dotted))

    def counted(self) -> dict[str, int]:
        """Counts by reason, with the endings where that is the reason."""
        counts = {reason: self._counts[reason] for reason in (_HIDDEN,) if self._counts[reason]}
        if self._endings:
            named = sorted(self._endings, key=lambda ending: (-self._endings[ending], ending))
            endings = ", ".join(named[:5]) + (" ..." if len(named) > 5 else "")
            counts[f"{_ENDING} ({endings})"] = sum(self._endings.values())
        rest = (_BROKEN, _LOOP, _CLOSED, _SPECIAL)
        return counts | {reason: self._counts[reason] for reason in rest if self._counts[reason]}

    def _entries(self, below: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._root, below)) as entries:
                yield from entries
        except OSError:
            self._counts[_CLOSED] += 1

    def _file(self, entry: os.DirEntry[str], name: str, *, hidden: bool) -> None:
        picture = is_picture(entry.name)
        if hidden:
            self._counts[_HIDDEN] += picture  # .DS_Store and its like concern nobody
        elif picture and _is_file(entry):
            self.names.append(name)
        elif entry.is_symlink() and not _is_file(entry):
            self._counts[_BROKEN] += 1
        elif picture:
            self._counts[_SPECIAL] += 1
        elif not entry.name.lower().endswith(_BESIDE):
            self._endings[os.path.splitext(entry.name)[1].lower() or "no ending"] += 1

    def _identity(self, entry: os.DirEntry[str]) -> _Identity | None:
        try:
            status = os.stat(entry.path)
        except OSError:
            self._counts[_CLOSED] += 1
            return None
        return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
