"""Readers of the prompt files that benchmarks publish: a line each, CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError

TEXT = ("prompt", "text", "caption")  # columns that hold the prompt, in order of preference
ID = ("id", "prompt_id")
CATEGORY = ("category", "tag")
TAGS = ("tags", "challenge")
NEGATIVE = ("negative_prompt",)
FACTS = ("include", "exclude")  # GenEval's objects, counts, colours and positions

Row = Mapping[str, Any]


def read_prompt_file(path: Path) -> list[dict[str, Any]]:
    """Read a prompt file into the fields of ``Prompt``.

    A prompt without an id is named after its place (``00001`` is the first), so that a longer file
    keeps the ids of a shorter one. Raises ``RequestError`` with file and line.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise RequestError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: expected UTF-8 text; byte {error.start} is not") from None
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None
    prompts: list[dict[str, Any]] = []
    for line, row in reader(text, path):
        prompts.append(_prompt(row, f"{path}:{line}", number=len(prompts) + 1))
    if not prompts:
        raise RequestError(f"{path} has no prompts")
    return prompts


def _prompt(row: Row, where: str, number: int) -> dict[str, Any]:
    fields = {str(key).strip().casefold(): value for key, value in row.items()}
    text = _first(fields, TEXT)
    if text is None:
        found = ", ".join(fields) or "nothing"
        raise RequestError(f"{where}: expected one of the fields {', '.join(TEXT)}; found {found}")
    if not isinstance(text, str) or not text.strip():
        raise RequestError(f"{where}: the prompt is empty or no text")
    id_ = _first(fields, ID)
    expected = fields.get("expected")
    if expected is None:
        expected = {key: fields[key] for key in FACTS if key in fields} or None
    elif not isinstance(expected, Mapping):
        raise RequestError(f"{where}: 'expected' must be an object")
    category, negative = _first(fields, CATEGORY), _first(fields, NEGATIVE)
    return {
        "id": f"{number:05d}" if id_ in (None, "") else str(id_).strip(),
        "text": text.strip(),
        "category": None if category in (None, "") else str(category),
        "tags": _tags(_first(fields, TAGS)),
        "negative_prompt": None if negative in (None, "") else str(negative),
        "expected": expected,
    }


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _tags(value: Any) -> tuple[str, ...]:
    if value in (None, ""):
        return ()
    return tuple(str(tag) for tag in value) if isinstance(value, list) else (str(value),)


def _lines(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, {"prompt": line.rstrip("\r")}


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise RequestError(f"{path}:{number}: this is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise RequestError(
                f"{path}:{number}: expected an object such as {{'prompt': 'a star'}}"
            )
        yield number, row


def _csv(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(reader, None)
        yield from _records(head, ((reader.line_num, cells) for cells in reader), path)
    except csv.Error as error:
        raise RequestError(f"{path}:{reader.line_num}: this is not CSV: {error}") from None


def _tsv(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    # Published files quote as CSV does or not at all (``"G I G G L E" painted in ...``), so a cell
    # is only unquoted if the quotes enclose all of it and those inside are doubled.
    lines = [line.rstrip("\r") for line in text.split("\n")]
    rows = ((i, [_unquote(cell) for cell in line.split("\t")]) for i, line in enumerate(lines, 1))
    head = next(rows)[1]
    yield from _records(head, rows, path)


def _unquote(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell


def _records(
    head: list[str] | None, rows: Iterator[tuple[int, list[str]]], path: Path
) -> Iterator[tuple[int, Row]]:
    if not head or not any(name.strip() for name in head):
        return
    names = [name.strip().casefold() for name in head]
    if not set(names) & set(TEXT):
        raise RequestError(
            f"{path}:1: expected a column named {', '.join(TEXT)}; found {', '.join(head)[:200]}"
        )
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            raise RequestError(
                f"{path}:{line}: {len(cells)} cells, but the first line names {len(names)} columns"
            )
        yield line, dict(zip(names, cells, strict=False))


_READERS: dict[str, Callable[[str, Path], Iterator[tuple[int, Row]]]] = {
    ".txt": _lines,
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json_lines,
}
ENDINGS = tuple(_READERS)
