"""Rows of CSV, TSV and JSON-lines files that people write, each with the line that it is on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.errors import GandiffError, RequestError


class Row(NamedTuple):
    """A row: ``where`` is its file and line for messages; names of fields are in lower case."""

    where: str
    fields: dict[str, Any]


def read_rows(path: Path, error: type[GandiffError] = RequestError) -> Iterator[Row]:
    """Give the rows of a file whose ending is one of ``ENDINGS``; empty ones are left out.

    The first row of CSV and TSV names the columns, a line of JSON lines is an object. Raises
    ``error`` with file and line.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise error(f"{path}: expected a file ending in {', '.join(ENDINGS)}")
    try:
        for line, fields in reader(read_text(path, error)):
            named = {str(name).strip().casefold(): value for name, value in fields.items()}
            yield Row(f"{path}:{line}", named)
    except _BadLine as bad:
        raise error(f"{path}:{bad.line}: {bad.problem}") from None


def read_text(path: Path, error: type[GandiffError] = RequestError) -> str:
    """A file's UTF-8 text without a byte order mark, which spreadsheets write; raises ``error``."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as bad:
        raise error(f"{path}: expected UTF-8 text; byte {bad.start} is not") from None
    except OSError as bad:
        raise error(f"{path} cannot be read: {bad.strerror or bad}") from None


class _BadLine(Exception):
    def __init__(self, line: int, problem: str) -> None:
        self.line, self.problem = line, problem


_Lines = Iterator[tuple[int, dict[str, Any]]]


def _json_lines(text: str) -> _Lines:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise _BadLine(number, f"this is not JSON: {error.msg}") from None
        if not isinstance(fields, dict):
            raise _BadLine(number, f"expected a JSON object, got {line.strip()[:60]}")
        yield number, fields


def _csv(text: str) -> _Lines:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from _table(next(reader, []), ((reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        raise _BadLine(reader.line_num, f"this is not CSV: {error}") from None


def _tsv(text: str) -> _Lines:
    # Published files quote as CSV does or not at all (``"G I G G L E" painted in ...``), so a cell
    # is only unquoted if the quotes enclose all of it and those inside are doubled.
    lines = (line.rstrip("\r") for line in text.split("\n"))
    rows = ((i, [_unquote(cell) for cell in line.split("\t")]) for i, line in enumerate(lines, 1))
    yield from _table(next(rows)[1], rows)


def _unquote(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell


def _table(names: list[str], rows: Iterator[tuple[int, list[str]]]) -> _Lines:
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            raise _BadLine(
                line, f"{len(cells)} cells, but the first line names {len(names)} columns"
            )
        yield line, dict(zip(names, cells, strict=False))


_READERS: dict[str, Callable[[str], _Lines]] = {".csv": _csv, ".tsv": _tsv, ".jsonl": _json_lines}
ENDINGS = tuple(_READERS)
