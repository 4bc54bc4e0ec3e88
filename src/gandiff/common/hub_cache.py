"""What the hub's cache on this machine has, and whether the hub answers; imports nothing heavy."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE, _REMEMBERED = 3.0, 60.0  # seconds for an answer, and until the hub is asked again
_ANSWERS: dict[str, tuple[float, bool]] = {}  # by address: when it was asked, whether it answered


@contextlib.contextmanager
def quick_hub() -> Iterator[None]:
    """Where the hub does not answer one short question, have its client look into the cache alone
    inside: left to itself it tries again and again, for half a minute a file.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or _answers(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _answers(address: str) -> bool:
    """Whether anything answers there, whatever it says."""
    asked, answered = _ANSWERS.get(address, (-_REMEMBERED, False))
    if time.monotonic() - asked < _REMEMBERED:
        return answered
    answers = list[bool]()

    def ask() -> None:
        from huggingface_hub import get_session

        with contextlib.suppress(Exception):  # whatever the client raises: there is no answer
            get_session().head(address, timeout=_PATIENCE)
            answers.append(True)

    # In a thread of its own, since looking up a name has no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE + 1)
    _ANSWERS[address] = time.monotonic(), bool(answers)
    return bool(answers)


def cached_commit(repo: str, revision: str | None = None) -> str | None:
    """The commit that a branch or tag (``main`` unless given) was at when it was last fetched.

    None for what is no hub id and for what the cache does not have; the hub is not asked.
    """
    if not HUB_ID.fullmatch(repo):
        return None
    place = _place(repo)
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision if (place / "snapshots" / revision).is_dir() else None
    try:
        return (place / "refs" / (revision or "main")).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def cached_files(repo: str) -> list[Path]:
    """The files of the current commit of a repository, and the note of which that is."""
    commit = cached_commit(repo)
    if commit is None:
        return []
    place = _place(repo)
    inside = [file for file in (place / "snapshots" / commit).rglob("*") if file.is_file()]
    return [place / "refs" / "main", *inside]


def cached_snapshot(repo: str, revision: str | None = None) -> Path | None:
    """The folder in which the cache has the files of that commit; None if it has none."""
    commit = cached_commit(repo, revision)
    folder = _place(repo) / "snapshots" / str(commit)
    return folder if commit is not None and folder.is_dir() else None


def _place(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
