"""What the pictures of a training were, and which it holds out: kept when the folder changes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from gandiff.common.contents import ContentLedger
from gandiff.common.errors import RequestError
from gandiff.common.files import read_json, write_atomically
from gandiff.experiments.data.decode import cache_folder
from gandiff.experiments.data.files import Captioned

DATA_RECORD = "data.json"
_FEW = 512  # pictures whose hashes are not worth keeping from start to start


class Row(NamedTuple):
    """One picture: its file below the source, what it and its captions hash to, whether it is held
    out, and whether it has gone since.
    """

    file: str
    sha256: str
    captions: str
    held_out: bool
    gone: bool = False


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """The pictures of a folder, in order, and how they are split.

    ``rows`` are those that are there, ``gone`` those that were; ``changes`` has a sentence for each
    start that found others than the start before.
    """

    rows: tuple[Row, ...]
    gone: tuple[Row, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def held_out(self) -> Bool[np.ndarray, " n"]:
        """Which pictures are held out, in order."""
        return np.array([row.held_out for row in self.rows], bool)

    def summary(self) -> dict[str, Any]:
        """Counts, and a sha256 of names, contents, captions, split and order."""
        digest = hashlib.sha256(json.dumps(self.rows).encode()).hexdigest()
        held = int(self.held_out.sum())
        facts = {"images": len(self.rows), "held_out": held, "sha256": digest}
        return facts | ({"changes": list(self.changes)} if self.changes else {})

    def write(self, folder: Path) -> None:
        """Write ``data.json`` into the folder of a training."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {**self.summary(), "rows": [*self.rows, *self.gone]}
        write_atomically(folder / DATA_RECORD, json.dumps(content).encode(), durable=True)


def read_data_record(folder: Path) -> DataRecord | None:
    """What ``data.json`` in the folder of a training says; None where there is none."""
    path = folder / DATA_RECORD
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        rows = [Row(*row) for row in content["rows"]]
    except (KeyError, TypeError) as error:
        raise RequestError(f"{path} is not a record of gandiff; start in another --out") from error
    here = tuple(row for row in rows if not row.gone)
    gone = tuple(row for row in rows if row.gone)
    return DataRecord(here, gone, tuple(content.get("changes", ())))


def record_pictures(
    source: Path, pictures: Sequence[Captioned], held_out: Bool[np.ndarray, " n"]
) -> DataRecord:
    """Look at the pictures of a source: every file is hashed, unless it is known by its entry."""
    root = source if source.is_dir() else source.parent
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    keeps = len(pictures) > _FEW
    ledger = ContentLedger(cache_folder() / f"{place}.hashes.jsonl" if keeps else None)
    rows = tuple(
        Row(
            Path(os.path.relpath(one.path, root)).as_posix(),
            ledger.sha256(one.path) or "",
            hashlib.sha256("\n".join(one.captions).encode()).hexdigest()[:16],
            bool(held),
        )
        for one, held in zip(pictures, held_out, strict=True)
    )
    if keeps:
        with contextlib.suppress(OSError):  # then they are hashed again the next time
            cache_folder().mkdir(parents=True, exist_ok=True)
            ledger.save()
    return DataRecord(rows)


def continued(before: DataRecord, now: DataRecord) -> DataRecord:
    """The pictures of now, split as they were: what was held out stays so, all others are trained
    on. A picture is known by its contents, or by its name if its contents are new.
    """
    known = [*before.gone, *before.rows]  # the latter count where names are the same
    exact = {(row.file, row.sha256): row for row in known}
    by_name = {row.file: row for row in known}
    by_content: dict[str, Row] = {}
    for row in known:  # of several with the same contents one that was held out counts
        if row.held_out or row.sha256 not in by_content:
            by_content[row.sha256] = row
    matches = [
        exact.get((row.file, row.sha256)) or by_content.get(row.sha256) or by_name.get(row.file)
        for row in now.rows
    ]
    rows = tuple(
        row._replace(held_out=match.held_out if match else False)
        for row, match in zip(now.rows, matches, strict=True)
    )
    here = {row.sha256 for row in rows}
    left = [row for row in known if row.sha256 not in here]
    if rows == before.rows:
        return before
    matched = set(matches)
    removed = sum(not row.gone and row not in matched for row in left)
    change = _describe(list(zip(rows, matches, strict=True)), removed)
    gone = tuple(row._replace(gone=True) for row in left)
    return DataRecord(rows, gone, (*before.changes, change))


def _describe(pairs: Sequence[tuple[Row, Row | None]], removed: int) -> str:
    """What has changed, in words."""
    same = [(row, match) for row, match in pairs if match]
    counts = {
        "added": len(pairs) - len(same) + sum(match.gone for _, match in same),
        "removed": removed,
        "with other captions": sum(row.captions != match.captions for row, match in same),
        "with other contents": sum(row.sha256 != match.sha256 for row, match in same),
        "renamed": sum(row.file != match.file for row, match in same),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    held_out = sum(row.held_out for row, _ in pairs)
    return f"{said or 'another order'} (now {len(pairs)} images, {held_out} of them held out)"
