"""Files that are whole or not there, JSON, JSON lines, and what a file hashes to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gandiff.common.errors import GandiffError, RequestError

# Where models/, evaluate/ and the rest lie; a checkout has links to them here.
PACKAGE = Path(__file__).resolve().parents[1]


def expanded(path: str | Path) -> Path:
    """A path with ``~`` and ``~name`` read as a shell reads them: what names nobody stays as it is.

    ``Path.expanduser`` raises ``RuntimeError`` then, as for a file that is called ``~draft.png``.
    """
    return Path(os.path.expanduser(path))


def file_sha256(path: Path) -> str:
    """Sha256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | memoryview, *, durable: bool = False) -> None:
    """Write a file completely or not at all; ``durable`` survives a power cut."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        # What a full disk left of it would be in the way of everything else.
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def read_json(path: Path, kind: type[GandiffError] = RequestError) -> dict[str, Any]:
    """Read one JSON object; raises an error of the ``kind`` that names the file for anything
    else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise kind(f"{path} cannot be read: it is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise kind(f"{path} holds {type(data).__name__}, expected a JSON object")
    return data


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a JSON-lines file that the store wrote."""
    try:
        text = path.read_text(encoding="utf-8")
        yield from (json.loads(line) for line in text.split("\n") if line)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
