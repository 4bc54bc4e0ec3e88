"""Whose a training's output folder is; imports nothing heavy, so that it is asked at once."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from gandiff.common.errors import RequestError
from gandiff.common.files import read_json
from gandiff.common.lock import HOLDER
from gandiff.common.outputs import check_folder, claim_folder, refuse_foreign, visible
from gandiff.experiments.training.records import CHECKPOINT, RECORD, TEXT_RECORD

CARD, _LABEL = "README.md", "gandiff train"
_UNFINISHED = re.compile(r"\.[0-9]+\.tmp$")  # of write_atomically
_OUR_CARD = "library_name: gandiff"


# The folders that the work under way has claimed already, in this thread.
_HELD: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


@contextmanager
def claim(out: Path, parts: Sequence[Path] = (), *, overwrite: bool = False) -> Iterator[None]:
    """Keep the folder of a training, and the ``parts`` below it that are trained into, for us.

    Raises ``RequestError`` if another process has one of them, and unless ``overwrite`` for a
    folder that holds what no training of ours wrote; ``OSError`` if one cannot be written to.
    What the work that calls this has claimed before stays its own.
    """
    folders = [f for f in (out, *parts) if f.resolve() not in _HELD.get()]
    for folder in folders:
        check_folder(folder)
    if not overwrite:
        foreign = (file for folder in folders for file in _foreign(folder))
        refuse_foreign(foreign, "a training of gandiff")
        cards = (folder / CARD for folder in (parts or (out,)) if folder in folders)
        refuse_foreign(card for card in cards if card.is_file() and not _is_our_card(card))
    with ExitStack() as claimed:
        for folder in folders:
            claimed.enter_context(claim_folder(folder, _LABEL))
            _remove_unfinished(folder)
        before = _HELD.set(_HELD.get().union(folder.resolve() for folder in folders))
        try:
            yield
        finally:
            _HELD.reset(before)


def _remove_unfinished(folder: Path) -> None:
    """Remove the files that processes that were killed had not finished."""
    for path in folder.rglob("*.tmp"):
        if _UNFINISHED.search(path.name):
            path.unlink(missing_ok=True)


def _foreign(folder: Path) -> Iterator[Path]:
    """The files of a folder into which no training of ours has written, hidden ones left out.

    A folder of nothing but folders of trainings, as of a sweep or of the judges, has none.
    """
    if not folder.is_dir() or is_training(folder):
        return
    for path in visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from _foreign(path)
        else:
            yield path


def is_training(folder: Path) -> bool:
    """Whether a training of ours has written into a folder: by what it left there."""
    holder = folder / HOLDER
    if holder.is_file() and _LABEL in holder.read_text(encoding="utf-8", errors="replace"):
        return True
    return (
        _is_record(folder / RECORD, "command")
        or _is_record(folder / TEXT_RECORD, "validation")
        or _is_checkpoint(folder / CHECKPOINT)
    )


def _is_record(path: Path, field: str) -> bool:
    try:
        return {"images", "seconds", field} <= read_json(path).keys()
    except RequestError:
        return False


def _is_checkpoint(path: Path) -> bool:
    """By the names in its pickle, which is not loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            names = archive.read(pickled)
    except (OSError, zipfile.BadZipFile, StopIteration):
        return False
    wanted = (b"label", b"progress", b"state")
    return all(b"X" + len(name).to_bytes(4, "little") + name in names for name in wanted)


def _is_our_card(path: Path) -> bool:
    return _OUR_CARD in path.read_text(encoding="utf-8", errors="replace")
