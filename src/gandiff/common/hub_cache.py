"""Which commit of a repository the hub's cache on this machine has; imports nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


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
