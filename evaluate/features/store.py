"""Features on disk: one folder per encoder and protocol, holding parts that are never changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt

from gandiff.common.errors import MetricError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What is stored of n images beside their features: size in px, and oddities as bits."""

    heights: UInt[np.ndarray, " n"]
    widths: UInt[np.ndarray, " n"]
    flags: UInt[np.ndarray, " n"]


class StoredRows:
    """Features of some images in order, read as they are sliced: they need not fit into memory."""

    def __init__(
        self, parts: Sequence[Shaped[np.ndarray, " _"]], places: Int[np.ndarray, "n 2"]
    ) -> None:
        self._parts = parts
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of features."""
        return len(self._places), self._parts[0].dtype["features"].shape[0]

    def __getitem__(self, rows: slice) -> Float[np.ndarray, "n d"]:
        return _take(self._parts, self._places[rows], "features")


class FeatureStore:
    """Rows by content hash. A part is written under a temporary name and renamed, so it is whole or
    absent.

    Several processes may write into one folder: part names are unique, and a row that two of them
    computed is merely there twice.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: list[Shaped[np.ndarray, " n"]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._new: list[tuple[bytes, int, int, int, Float[np.ndarray, " d"]]] = []
        if folder is not None:
            for path in sorted(folder.glob("*.npy")):
                self._read(path)

    @classmethod
    def open(cls, root: Path | None, encoder: str, protocol: dict[str, Any]) -> FeatureStore:
        """The store of one encoder and protocol below ``root`` (None: in memory)."""
        if root is None:
            return cls(None)
        described = json.dumps(protocol, sort_keys=True, indent=1)
        digest = hashlib.sha256(described.encode()).hexdigest()[:12]
        folder = root / f"{re.sub(r'[^A-Za-z0-9]+', '-', encoder).strip('-')[:60]}-{digest}"
        if not (folder / "protocol.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".{uuid.uuid4().hex}"
            temporary.write_text(described + "\n", encoding="utf-8")
            os.replace(temporary, folder / "protocol.json")
        return cls(folder)

    @property
    def pending(self) -> int:
        """How many rows were added since the last flush."""
        return len(self._new)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places

    def add(
        self, sha256: str, row: Float[np.ndarray, " d"], *, height: int, width: int, flags: int
    ) -> None:
        """Add one row; it can be taken after the next flush."""
        self._new.append((sha256.encode(), height, width, flags, row))

    def flush(self) -> None:
        """Write what was added since the last flush as one part."""
        if not self._new:
            return
        part = np.array(self._new, dtype=_row_type(len(self._new[0][4])))
        self._new = []
        if self._folder is None:
            self._index(part)
            return
        name = f"{uuid.uuid4().hex}.npy"
        temporary = self._folder / f".{name}.writing"
        with temporary.open("wb") as file:
            np.save(file, part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / name)
        self._read(self._folder / name)

    def rows(self, sha256s: Sequence[str]) -> StoredRows:
        """The features of these images, in order; all must be present."""
        return StoredRows(self._parts, self._find(sha256s))

    def facts(self, sha256s: Sequence[str]) -> ImageFacts:
        """Size and oddities of these images, in order; all must be present."""
        places = self._find(sha256s)
        return ImageFacts(
            heights=_take(self._parts, places, "height"),
            widths=_take(self._parts, places, "width"),
            flags=_take(self._parts, places, "flags"),
        )

    def _find(self, sha256s: Sequence[str]) -> Int[np.ndarray, "n 2"]:
        if not sha256s:
            raise MetricError("there are no images to take features of")
        return np.array([self._places[sha256] for sha256 in sha256s], dtype=np.int64)

    def _read(self, path: Path) -> None:
        try:
            part = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MetricError(
                f"the feature cache {path} is damaged ({error}); delete it to compute it again"
            ) from error
        self._index(part)

    def _index(self, part: Shaped[np.ndarray, " n"]) -> None:
        number = len(self._parts)
        self._parts.append(part)
        for row, sha256 in enumerate(part["sha256"]):
            self._places[sha256.decode()] = (number, row)


def _take(
    parts: Sequence[Shaped[np.ndarray, " _"]], places: Int[np.ndarray, "n 2"], field: str
) -> Shaped[np.ndarray, "n ..."]:
    kind = parts[0].dtype[field]
    taken = np.empty((len(places), *kind.shape), dtype=kind.base)
    for part in np.unique(places[:, 0]):
        here = places[:, 0] == part
        taken[here] = parts[part][places[here, 1]][field]
    return taken


def _row_type(width: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("sha256", "S64"),
            ("height", "<u4"),
            ("width", "<u4"),
            ("flags", "<u2"),
            ("features", "<f4", (width,)),
        ]
    )
