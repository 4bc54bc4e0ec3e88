"""How commands print: results to stdout, as text for people or as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write over a file that gandiff did not write.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def examples(*lines: str) -> str:
    """The part of a help text that shows command lines to copy; ``\\b`` keeps the line breaks."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def one_line(text: object) -> str:
    """Show any text, prompts of strangers included, on one line without control characters."""
    joined = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def echo_json(value: object) -> None:
    """Print a value as JSON (see ``plain``), with escapes for letters that stdout cannot write."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(plain(value), indent=2)
    typer.echo(text)


def echo_warnings(messages: Iterable[object]) -> None:
    """Print warnings on stderr, a line each."""
    for message in messages:
        typer.echo(f"warning: {one_line(message)}", err=True)


def number(value: float | None) -> str:
    """A number in a table, to five digits."""
    return "-" if value is None else f"{value:.5g}"


def plain(value: Any) -> Any:
    """Turn results into what JSON has: dataclasses to objects, sets to lists, NaN to null."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def echo_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns as wide as their contents; an empty header prints rows alone."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def show_path(path: Path) -> str:
    """Show a path relative to the working directory where it lies inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def on_desktop() -> bool:
    """Whether somebody sits before this machine, in a terminal on a desktop."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
