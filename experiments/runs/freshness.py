"""Whether images that were read from files outside of the run are still what those files hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gandiff.common.contents import ContentLedger
from gandiff.common.words import counted
from gandiff.experiments.runs.plan import Batch
from gandiff.experiments.runs.store import ImageEntry
from gandiff.models.generator import Generator

CHANGED, APPEARED, GONE, UNKNOWN = "changed", "appeared", "gone", "unknown"
_SAID = {  # of one picture and of several
    CHANGED: ("has changed since it was read", "have changed since they were read"),
    APPEARED: ("was missing and is there now", "were missing and are there now"),
    GONE: ("was read and is gone", "were read and are gone"),
    UNKNOWN: (
        "is read again: the run does not say what it read",
        "are read again: the run does not say what it read",
    ),
}


class Outdated(NamedTuple):
    """An image that is no longer what its file holds: which way, and the file if there is one."""

    how: str
    file: Path | None


def outdated_images(
    batches: Iterable[Batch],
    entries: Mapping[str, ImageEntry],
    generator: Generator,
    ledger: ContentLedger,
) -> dict[str, Outdated]:
    """The keys of images whose files hold something else now than when they were read.

    A file that was not there and has appeared counts, and one that is gone. Files are read only
    if they may have changed (``ContentLedger``).
    """
    outdated = {}
    for batch in batches:
        for job in batch.jobs:
            entry = entries.get(job.key)
            if entry is None:
                continue
            file = generator.source(job.request(pictures=False))
            now = None if file is None else ledger.sha256(file)
            was_read = entry.source is not None or entry.status == "ok"
            if now != entry.source or (now is None and was_read):
                outdated[job.key] = Outdated(_how(entry, now), file)
    return outdated


def say_outdated(name: str, outdated: Mapping[str, Outdated]) -> list[str]:
    """A line for each way in which images of a generator are outdated, with some of the files."""
    lines = []
    for how in dict.fromkeys(image.how for image in outdated.values()):
        files = [image.file for image in outdated.values() if image.how == how]
        named = dict.fromkeys(file.name for file in files if file is not None)
        listed = ", ".join(list(named)[:3]) + (", ..." if len(named) > 3 else "")
        which = f" ({listed})" if listed else ""
        one, many = _SAID[how]
        said = counted(len(files), f"picture {one}", f"pictures {many}")
        lines.append(f"{name}: {said}{which}")
    return lines


def _how(entry: ImageEntry, now: str | None) -> str:
    if now is None:
        return GONE
    if entry.source is not None:
        return CHANGED
    return UNKNOWN if entry.status == "ok" else APPEARED
