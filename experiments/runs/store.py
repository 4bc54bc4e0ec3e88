"""A run folder on disk: images, their log and record, whole whenever the process is killed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from gandiff.common.files import file_sha256, write_atomically
from gandiff.common.lock import HOLDER, LOCK, folder_lock
from gandiff.common.run_record import (
    COMPARISON_FILE,
    IMAGES,
    INPUTS,
    LOG,
    PROMPTS,
    RECORD,
    SOURCES,
    UNCOMPOSITED,
)
from gandiff.experiments.runs.plan import Batch, GenerationJob

RUN_FILES = (LOG, RECORD, PROMPTS, INPUTS, COMPARISON_FILE, SOURCES, LOCK, HOLDER)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ImageEntry:
    """One line of ``images.jsonl``: what became of one planned image."""

    key: str
    generator: str
    prompt_id: str
    sample: int
    seed: int
    sha256: str | None  # of the PNG file; None when there is no image
    path: str | None  # relative to the run folder
    width: int | None  # px
    height: int | None  # px
    batch: int
    seconds: float  # of the whole call, divided by the images it was asked for
    status: Literal["ok", "failed", "filtered"]
    reason: str | None = None
    nfe: int = 1
    nfe_by_network: Mapping[str, int] = dataclasses.field(default_factory=dict)
    truncated_tokens: Mapping[str, int] = dataclasses.field(default_factory=dict)
    source: str | None = None  # sha256 of the file outside that the image was read from
    asked: int | None = None  # requests of the call; older versions asked for the batch's size
    attempts: int = 1
    earlier_reason: str | None = None  # of the attempt before this one
    uncomposited: str | None = None  # sha256 of the PNG before known pixels were put back

    def files(self) -> dict[str, str]:
        """The sha256 of each of its files, by the path relative to the run folder."""
        if self.path is None or self.sha256 is None:
            return {}
        apart = {} if self.uncomposited is None else {beside(self.path): self.uncomposited}
        return {self.path: self.sha256, **apart}


def beside(path: str) -> str:
    """Where the picture lies that an image was before known pixels were put back."""
    return f"{UNCOMPOSITED}{path.removeprefix(IMAGES)}"


class RunStore:
    """The files of one run; only one process at a time may hold a folder open for writing."""

    def __init__(self, folder: Path) -> None:
        """Look at a run folder without changing or locking it."""
        self.folder = folder
        self.entries: dict[str, ImageEntry] = {}
        self._lock = folder_lock(folder)
        self._damaged = False
        self._read_log()

    def open(self) -> None:
        """Take the folder for writing: lock it, repair a torn log, remove half-written files.

        Raises ``RequestError`` if another process has it, ``OSError`` if the disk does not allow
        it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        self.entries.clear()
        self._read_log()
        self.tidy()
        for leftover in self.folder.rglob("*.tmp"):
            leftover.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def missing(self, batches: Iterable[Batch], outdated: Container[str] = ()) -> list[Batch]:
        """List the batches in which an image or its line is missing or not what was written.

        A recorded failure counts as made; the keys in ``outdated`` do not.
        """
        return [
            batch
            for batch in batches
            if not all(job.key not in outdated and self.has(job) for job in batch.jobs)
        ]

    def has(self, job: GenerationJob) -> bool:
        """Whether an image is there as it was written, or recorded as failed."""
        entry = self.entries.get(job.key)
        if entry is None or entry.path is None:
            return entry is not None
        try:
            files = entry.files().items()
            return all(file_sha256(self.folder / path) == sha256 for path, sha256 in files)
        except OSError:
            return False

    def drop_entries(self, jobs: Iterable[GenerationJob]) -> None:
        """Take the lines of images that are not there any more out of the log."""
        stale = {job.key for job in jobs} & self.entries.keys()
        if stale:
            for key in stale:
                del self.entries[key]
            self._rewrite_log()

    def align(self, jobs: Iterable[GenerationJob]) -> None:
        """Let the log say what generators are called now, and keep to the images of a plan."""
        planned = {job.key: job for job in jobs}
        self.entries = {
            key: dataclasses.replace(
                entry,
                generator=planned[key].generator,
                path=planned[key].path if entry.path else None,
            )
            for key, entry in self.entries.items()
            if key in planned
        }
        self._rewrite_log()

    def save_image(self, relative: str, image: UInt8[np.ndarray, "h w 3"]) -> str:
        """Write one PNG, complete or not at all; returns the sha256 of the file.

        It is not forced to the disk one by one: after a power cut, the hash in the log tells that
        it is damaged.
        """
        data = png(image)
        write_atomically(self.folder / relative, data)
        return hashlib.sha256(data).hexdigest()

    def append(self, entries: Sequence[ImageEntry]) -> None:
        """Log a batch whose images are saved, and force the lines to the disk.

        Of two lines for one image the later counts, until ``tidy`` or ``open`` drops the earlier.
        """
        self._damaged |= any(entry.key in self.entries for entry in entries)
        lines = "".join(_line(entry) for entry in entries)
        with (self.folder / LOG).open("ab") as stream:
            stream.write(_json_bytes(lines))
            stream.flush()
            os.fsync(stream.fileno())
        self.entries.update({entry.key: entry for entry in entries})

    def tidy(self) -> None:
        """Write the log again if an image has two lines."""
        if self._damaged:
            self._rewrite_log()

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Replace a JSON file as a whole."""
        text = json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n"
        write_atomically(self.folder / name, _json_bytes(text), durable=True)

    def write_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace a JSON-lines file as a whole."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomically(self.folder / name, _json_bytes(text), durable=True)

    def _read_log(self) -> None:
        """Read the log; torn, unreadable and doubled lines mark it as damaged."""
        path = self.folder / LOG
        data = path.read_bytes() if path.is_file() else b""
        *lines, rest = data.split(b"\n")
        self._damaged = bool(rest)
        for line in lines:
            try:
                entry = ImageEntry(**json.loads(line))
            except (ValueError, TypeError):
                self._damaged = True
                continue
            self._damaged |= entry.key in self.entries
            self.entries[entry.key] = entry

    def _rewrite_log(self) -> None:
        text = "".join(_line(entry) for entry in self.entries.values())
        write_atomically(self.folder / LOG, _json_bytes(text), durable=True)
        self._damaged = False


def png(image: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"]) -> bytes:
    """An image, or a grey one, as the bytes of its file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _line(entry: ImageEntry) -> str:
    fields = {name: getattr(entry, name) for name in ImageEntry.__slots__}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _json_bytes(text: str) -> bytes:
    # What is not UTF-8 in the name of a file becomes an escape that JSON reads back.
    return text.encode(errors="backslashreplace")
