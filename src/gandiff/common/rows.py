"""Rows of CSV, TSV and JSON-lines files that people write, each with the line that it is on.

The one reader of prompt files, of mappings from prompts to files and of captions to train on.
"""

from __future__ import annotations

import codecs
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.errors import GandiffError, RequestError

# Hugging Face's imagefolder convention: https://huggingface.co/docs/datasets/image_dataset
METADATA = ("metadata.jsonl", "metadata.csv")
FILE = ("file_name", "filename", "file")  # columns that name a picture
CAPTION = ("text", "caption", "captions", "prompt", "prompts")  # what it shows


class Row(NamedTuple):
    """A row: ``where`` is its file and line for messages; names of fields are in lower case."""

    where: str
    fields: dict[str, Any]

    def name_of(self, names: Sequence[str]) -> str | None:
        """The first of these fields that says something; None if none does."""
        return next((name for name in names if not is_blank(self.fields.get(name))), None)


def is_blank(value: object) -> bool:
    """Whether a cell or a field of JSON says nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def read_rows(path: Path, error: type[GandiffError] = RequestError) -> Iterator[Row]:
    """Give the rows of a file whose ending is one of ``ENDINGS``; empty ones are left out.

    The first row of CSV and TSV names the columns, a line of JSON lines is an object. Columns
    without a name (the index that pandas writes, what a spreadsheet adds) are left out. Raises
    ``error`` with file and line.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise error(f"{path}: expected a file ending in {', '.join(ENDINGS)}")
    try:
        for line, fields in reader(read_text(path, error)):
            yield Row(f"{path}:{line}", _named(line, fields))
    except _BadLine as bad:
        raise error(f"{path}:{bad.line}: {bad.problem}") from None


def read_text(path: Path, error: type[GandiffError] = RequestError) -> str:
    """A file's text without a byte order mark, which spreadsheets write; raises ``error``.

    It must be UTF-8, or UTF-16 with its mark, as "Unicode text" of spreadsheets is. Line breaks are
    as they stand there.
    """
    try:
        data = path.read_bytes()
    except OSError as bad:
        raise error(f"{path} cannot be read: {bad.strerror or bad}") from None
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if data.startswith(marks) else "utf-8-sig"
    try:
        return data.decode(encoding).lstrip("\ufeff")  # joined files have more than one
    except UnicodeDecodeError as bad:
        name = encoding.upper().removesuffix("-SIG")
        raise error(f"{path}: expected {name} text; byte {bad.start} is not") from None


def find_metadata(folder: Path) -> Path | None:
    """The file by which a folder says which picture is of what, if it has one."""
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def lines(text: str) -> list[str]:
    """Lines, wherever they were written; ``str.splitlines`` also ends them at U+2028 and U+0085,
    which stand inside of prompts.
    """
    return _BREAK.split(text)


def is_text(value: str) -> bool:
    """Whether there are only whole characters; JSON can write half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class _BadLine(Exception):
    def __init__(self, line: int, problem: str) -> None:
        self.line, self.problem = line, problem


_Fields = Sequence[tuple[str, Any]]
_Lines = Iterator[tuple[int, _Fields]]
_BREAK = re.compile("\r\n|\r|\n")


def _named(line: int, fields: _Fields) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for written, value in fields:
        name = written.strip().casefold()
        if name and named.setdefault(name, value) != value:
            raise _BadLine(line, f"two columns are named {name!r} and say different things")
    return named


def _json_lines(text: str) -> _Lines:
    for number, line in enumerate(lines(text), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _BadLine(number, f"this is not JSON: {getattr(error, 'msg', error)}") from None
        if not isinstance(fields, Mapping):
            raise _BadLine(number, f"expected a JSON object, got {line.strip()[:60]}")
        if "\\u" in line and not is_text(json.dumps(fields, ensure_ascii=False)):
            raise _BadLine(number, "half of a surrogate pair, such as \\ud83d, is not text")
        yield number, list(fields.items())


def _csv(text: str) -> _Lines:
    """With commas, or with what the first line has in their place, as many spreadsheets write."""
    said = re.match("sep=([^\\w\\s]|\t)(?=\r|\n)", text)  # Excel's own first line
    if said:
        return _table(text[said.end() :], delimiter=said[1], is_loose=False)
    first = _BREAK.split(text.lstrip("\r\n"), maxsplit=1)[0]
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    return _table(text, delimiter=delimiter, is_loose=False)


def _table(text: str, *, delimiter: str, is_loose: bool) -> _Lines:
    names: list[str] | None = None
    for line, cells in _rows(text, delimiter, is_loose):
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = cells
            continue
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()  # a spreadsheet's empty columns
        if len(cells) > len(names):
            raise _BadLine(
                line, f"{len(cells)} cells, but the first line names {len(names)} columns"
            )
        yield line, list(zip(names, cells, strict=False))


def _rows(text: str, delimiter: str, is_loose: bool) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row (RFC 4180), with its last line; a quote must close.

    ``is_loose`` takes a cell as it is if the quotes do not enclose all of it: published TSV quotes
    as CSV does or not at all (``"G I G G L E" painted in ...``).
    """
    mark = re.escape(delimiter)
    plain = f"[^{mark}\\r\\n]*"
    inner, bare = (f'[^"{mark}]*', plain) if is_loose else ('[^"]*', f'(?!"){plain}')
    cell = re.compile(f'(?:"({inner}(?:""{inner})*)"|({bare}))({mark}|\\r\\n|\\r|\\n|\\Z)')
    line, place = 1, 0
    cells: list[str] = []
    while place < len(text) or cells:
        match = cell.match(text, place)
        if match is None:
            shown = lines(text[place : place + 40])[0]
            raise _BadLine(line, f"this is not CSV: the quote before {shown[1:]!r} is not closed")
        quoted, unquoted, end = match.groups()
        cells.append(unquoted if quoted is None else quoted.replace('""', '"'))
        line, place = line + len(_BREAK.findall(quoted or "")), match.end()
        if end != delimiter:
            yield line, cells
            line, cells = line + 1, []


_READERS: dict[str, Callable[[str], _Lines]] = {
    ".csv": _csv,
    ".tsv": functools.partial(_table, delimiter="\t", is_loose=True),
    ".jsonl": _json_lines,
}
ENDINGS = tuple(_READERS)
