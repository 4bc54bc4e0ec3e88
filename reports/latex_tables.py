"""Tables in LaTeX that fit a page: columns by their width, heads in lines, rows by their height."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence

from gandiff.reports.tex import SMALLER, tex, width
from gandiff.reports.values import NO_VALUE

HELPERS = r"""\providecommand\gandiffhead[2][r]{\begin{tabular}[b]{@{}#1@{}}#2\end{tabular}}
\providecommand\gandifffit[1]{\sbox2{#1}\ifdim\wd2>\linewidth\resizebox{\linewidth}{!}{\usebox2}%
  \else\usebox2\fi}"""
# Of a page in points, a bit less than in most classes.
_WIDTH, _HEIGHT = 490.0, 530.0
_LOWEST = 120.0  # height that a table has at least, however long its caption
_GAP = 12.0  # between columns
_LINE, _RULES, _SPACE = 9.6, 12.0, 10.0  # heights: a row, the rules of a table, between tables
_CAPTION = 95, 12.0  # letters in a line of a caption, and its height
_HEAD, _NAME = 20, 30  # letters in a line of a head at least, of a name in the first column


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in a cell, in LaTeX, and about how wide it is in points."""

    text: str
    width: float


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, not yet in LaTeX, and the cells below it."""

    head: str
    cells: Sequence[Cell]

    @property
    def _room(self) -> float:
        return max((cell.width for cell in self.cells), default=0.0)

    @property
    def lines(self) -> list[str]:
        """The heading, no wider than its cells if they are not narrow."""
        return textwrap.wrap(self.head, max(_HEAD, int(self._room / width("0")))) or [""]

    @property
    def width(self) -> float:
        """Of the heading and the cells, with the gap."""
        return max(self._room, *map(width, self.lines)) + _GAP


@dataclasses.dataclass(frozen=True)
class Caption:
    """What stands above a table, in LaTeX: its title, which pages that follow repeat, and more."""

    title: str
    text: str
    label: str


@dataclasses.dataclass(frozen=True)
class Block:
    """A piece of a float: a table or a note, and about how high it is in points."""

    text: str
    height: float


def number(value: str, interval: str, best: bool = False) -> Cell:
    """A number with its interval; bold where it is better than all others."""
    if value in ("", *NO_VALUE):
        return Cell("--", width("-"))
    shown = f"\\textbf{{{_signed(value)}}}" if best else _signed(value)
    if interval:
        shown = f"{shown} {{\\scriptsize [{_signed(interval)}]}}"
    room = width(f"{value} ", bold=best)
    return Cell(shown, room + (SMALLER * width(f"[{interval}]") if interval else 0.0))


def _signed(text: str) -> str:
    """Text with the minus signs of numbers set as such, which is no hyphen."""
    return re.sub(r"(?<![^\s(])-(?=\d)", "$-$", tex(text))


def words(text: str) -> Cell:
    """A word or a number in a column of words."""
    return Cell(tex(text), width(text))


def note(text: str) -> Block:
    """A line below tables."""
    lines = 1 + int(SMALLER * width(text) / _WIDTH)
    shown = f"\\begin{{minipage}}{{\\linewidth}}\\scriptsize {tex(text)}\\end{{minipage}}"
    return Block(shown, _LINE * lines)


def floats(
    caption: Caption,
    head: str,
    names: Sequence[str],
    columns: Sequence[Column],
    notes: Sequence[str] = (),
) -> Iterator[str]:
    """Tables with the names as their first column, as many to a float as a page holds.

    ``head``, ``names`` and ``notes`` are not yet in LaTeX. What does not fit side by side follows
    below, with the names again, then in floats of the same number.
    """
    room = max(_LOWEST, _HEIGHT - _height_of(f"{caption.title}. {caption.text}"))
    blocks = [*_blocks(head, names, columns, room), *map(note, notes)]
    above = f"\\caption{{{caption.title}. {caption.text}}}\n\\label{{{caption.label}}}"
    taken, held = 0.0, list[str]()
    for block in blocks:
        if held and taken + block.height > room:
            yield _float(above, held)
            above = f"\\addtocounter{{table}}{{-1}}\n\\caption{{{caption.title} (continued).}}"
            taken, held = 0.0, []
        held.append(block.text)
        taken += block.height + _SPACE
    if held:
        yield _float(above, held)


def _height_of(caption: str) -> float:
    letters, line = _CAPTION
    return line * (2 + len(caption) // letters)


def _blocks(
    head: str, names: Sequence[str], columns: Sequence[Column], room: float
) -> Iterator[Block]:
    broken = [textwrap.wrap(name, _NAME) or [""] for name in names]
    first = max(width(line) for line in [head, *(line for name in broken for line in name)])
    for some in _side_by_side(columns, _WIDTH - first - _GAP):
        heads = [_lines([head], "l"), *(_lines(column.lines, "r") for column in some)]
        above = _RULES + _LINE * max(len(column.lines) for column in some)
        rows: list[str] = []
        height = above
        for k, name in enumerate(broken):
            if rows and height + _LINE * len(name) > room:
                yield Block(_tabular(heads, rows), height)
                rows, height = [], above
            rows.append(_row([_lines(name, "l"), *(column.cells[k].text for column in some)]))
            height += _LINE * len(name)
        yield Block(_tabular(heads, rows), height)


def _side_by_side(columns: Sequence[Column], room: float) -> Iterator[list[Column]]:
    """As many columns as fit, one at least: what is wider yet is made smaller by LaTeX."""
    held: list[Column] = []
    for column in columns:
        if held and sum(one.width for one in held) + column.width > room:
            yield held
            held = []
        held.append(column)
    if held:
        yield held


def _lines(lines: Sequence[str], side: str) -> str:
    if len(lines) == 1:
        return tex(lines[0])
    broken = " \\\\ ".join(map(_first, map(tex, lines)))
    return f"\\gandiffhead[{side}]{{{broken}}}"


def _first(cell: str) -> str:
    r"""The beginning of a row: ``\\`` and ``\midrule`` take ``[`` and ``*`` for their options."""
    return f"{{}}{cell}" if cell.startswith(("[", "*")) else cell


def _row(cells: Sequence[str]) -> str:
    return f"{_first(' & '.join(cells))} \\\\"


def _tabular(head: Sequence[str], rows: Sequence[str]) -> str:
    lines = [
        f"\\gandifffit{{\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        "\\toprule",
        _row(head),
        "\\midrule",
        *rows,
        "\\bottomrule",
        "\\end{tabular}}",
    ]
    return "\n".join(lines)


def _float(above: str, blocks: Sequence[str]) -> str:
    body = "\n\\par\\medskip\n".join(blocks)
    return (
        f"\\begin{{table*}}\n\\centering\\footnotesize\n{above}\n\\medskip\n{body}\n\\end{{table*}}"
    )
