"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column of numbers is up to the reader."""
    lines = [list(head), ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    cell = " ".join(text.split()).replace("|", "\\|")
    # A tag in the text, such as runs/<name>, is shown and not taken for HTML; code shows it anyway.
    parts = cell.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def code(value: object) -> str:
    """A value in the type of code."""
    return f"`{value}`"
