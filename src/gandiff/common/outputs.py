"""Where commands may write: never over what gandiff did not write, and one process at a time.

What is refused is refused before the work: names that cannot be, places that cannot be written to,
files of others, and outputs that another process is writing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.common.lock import WriterLock, file_lock, folder_lock


@contextmanager
def claim_file(
    path: Path,
    suffix: str,
    is_ours: Callable[[Path], bool],
    *,
    overwrite: bool = False,
    beside: Iterable[Path] = (),
    option: str = "--out",
) -> Iterator[None]:
    """Keep a file, named by ``option``, for this process while it makes what is written there.

    ``is_ours`` says of a file that is there whether gandiff wrote it; ``beside`` are others that
    will be written with it. Folders that are missing are made, and removed if nothing comes into
    them. Raises ``RequestError`` for another ``suffix``, a folder of this name, files that gandiff
    did not write (unless ``overwrite``), and a file that another process is writing; ``OSError``
    where the disk cannot be written to.
    """
    check_file(path, suffix, option)
    if not overwrite:
        there = (file for file in (path, *beside) if file.exists() and not is_ours(file))
        refuse_foreign(there, option=option)
    with _folder(path.parent):
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # a disk that is full or read-only says so now
        with _held(file_lock(path)):
            yield


def check_file(path: Path, suffix: str, option: str = "--out") -> None:
    """Raise ``RequestError`` if a file with this suffix cannot have this name."""
    if path.is_dir():
        raise RequestError(f"{option} {path} is a folder; give a name ending in {suffix}")
    if path.suffix.lower() != suffix:
        raise RequestError(f"{option} {path}: give a name ending in {suffix}")
    check_folder(path.parent, option)


@contextmanager
def claim_folder(folder: Path, label: str) -> Iterator[None]:
    """Keep a folder for this process; ``label`` says what it writes there, and stays there.

    A folder that holds nothing in the end, hidden files aside, is left as if nobody had come.
    Raises ``RequestError`` if another process has it, ``OSError`` if it cannot be written to.
    """
    with _folder(folder), _held(folder_lock(folder, label), folder):
        yield


def check_folder(path: Path, option: str = "--out") -> None:
    """Raise ``RequestError`` if there cannot be a folder of this name."""
    there = next((one for one in (path, *path.absolute().parents) if one.exists()), Path())
    if not there.is_dir():
        where = f"{option} {path}" if there == path else f"{option} {path}: {there}"
        raise RequestError(f"{where} is a file; give a folder")


def refuse_foreign(files: Iterable[Path], ours: str = "gandiff", option: str = "--out") -> None:
    """Raise ``RequestError`` for the first of the files, which are in the way of ``ours``."""
    for file in files:
        raise RequestError(
            f"{file} was not written by {ours}, which overwrites nothing of others; choose "
            f"another {option}, or insist with --overwrite"
        )


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, in order of names; hidden files, of which we write none, left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder; what was made of its path is removed again where it stays empty."""
    check_folder(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in made:
            try:
                path.rmdir()
            except OSError:  # it holds something by now
                break


@contextmanager
def _held(lock: WriterLock, folder: Path | None = None) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release(remove=folder is not None and not visible(folder))
