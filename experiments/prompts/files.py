"""Readers of the prompt files that benchmarks publish: a line each, CSV, TSV or JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, show
from gandiff.common.rows import ENDINGS as TABLES
from gandiff.common.rows import Row, is_blank, lines, read_rows, read_text
from gandiff.experiments.prompts.sources import TRUTHS, source_of
from gandiff.models.generator import Task
from gandiff.models.tasks import SOURCES, takes_strength

# Columns that hold the prompt, in order of preference; DrawBench and some others have the plural.
TEXT = ("prompt", "prompts", "text", "caption", "captions")
_SHOWN = tuple(name for name in TEXT if not name.endswith("s"))
ID = ("id", "prompt_id")
CATEGORY = ("category", "tag")
TAGS = ("tags", "challenge")
NEGATIVE = ("negative_prompt",)
FACTS = ("include", "exclude")  # GenEval's objects, counts, colours and positions
EDIT = ("instruction", "caption_before")  # what is said of an edit besides the caption after

ENDINGS = (".txt", *TABLES)


def read_prompt_file(path: Path, task: Task = "text_to_image") -> list[dict[str, Any]]:
    """Read a prompt file into the fields of ``Prompt``.

    A prompt without an id is named after its place (``00001`` is the first), so that a longer file
    keeps the ids of a shorter one. Columns for edits (``init_image``, ``mask``, ``control_image``
    as paths from the file's folder, ``strength``) are read where the ``task`` takes them; where it
    takes any, so are those for metrics (``target``, ``region``, ``caption_before``,
    ``instruction``). Raises ``RequestError`` with file and line.
    """
    if path.suffix.lower() not in ENDINGS:
        raise RequestError(f"{path}: expected a file ending in {', '.join(ENDINGS)}")
    rows = _lines(path) if path.suffix.lower() == ".txt" else read_rows(path)
    prompts = [
        {**_prompt(row, number), **_edit(row, task, path.parent)}
        for number, row in enumerate(rows, 1)
    ]
    if not prompts:
        raise RequestError(f"{path} has no prompts")
    return prompts


def _lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines(read_text(path)), 1):
        if line.strip():
            yield Row(f"{path}:{number}", {"prompt": line})


def _prompt(row: Row, number: int) -> dict[str, Any]:
    where, fields = row
    text = fields.get(row.name_of(TEXT) or next((n for n in TEXT if n in fields), ""))
    if text is None:
        names = ", ".join(fields)[:200] or "nothing"
        raise RequestError(f"{where}: expected one of the fields {', '.join(_SHOWN)}; got {names}")
    if not isinstance(text, str) or not text.strip():
        raise RequestError(f"{where}: the prompt is empty or not text")
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


def _edit(row: Row, task: Task, folder: Path) -> dict[str, Any]:
    """The pictures and the strength that a task takes, as the row names them."""
    try:
        edit: dict[str, Any] = {
            name: source_of(name, row.fields.get(name), folder)
            for name in (*SOURCES[task], *(TRUTHS if SOURCES[task] else ()))
        }
    except RequestError as error:
        raise RequestError(f"{row.where}: {error}") from None
    said = {k: str(v).strip() for k in EDIT if not is_blank(v := row.fields.get(k))}
    edit |= {"edit": said} if said and SOURCES[task] else {}
    value: Any = row.fields.get("strength")
    if not takes_strength(task) or is_blank(value):
        return edit
    try:
        strength = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        strength = None
    if strength is None or not 0 < strength <= 1:
        problem = f"strength must be a number above 0 and at most 1, got {show(value)}"
        raise RequestError(f"{row.where}: {problem}")
    return {**edit, "strength": strength}


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _tags(value: Any) -> tuple[str, ...]:
    if value in (None, ""):
        return ()
    return tuple(str(tag) for tag in value) if isinstance(value, list) else (str(value),)
