"""A page of pictures with the models above the columns and the prompts above the rows."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Pixels = UInt8[np.ndarray, "h w 3"]

# px of a cell, its frame included, where there are many rows, usually, and for larger pictures
SMALL, SIDE, LARGE = 194, 290, 514
_MARGIN, _GAP, _LABEL = 28, 14, 124  # px; the last is the width of the column on the left
_PER_LINE, _BETWEEN, _CAPTION = 4, 6, 20  # frames in a line, px between, px for a caption below
_INK, _SOFT, _LINE, _EMPTY = (32, 33, 36), (110, 114, 120), (218, 220, 224), (245, 246, 247)


@dataclasses.dataclass(frozen=True)
class Cell:
    """Pictures with what is written below each; ``word`` stands for none."""

    pictures: Sequence[tuple[Pixels, str]]
    word: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A cell for each model, of one picture or a strip; one with a title begins a new prompt."""

    label: str
    cells: Sequence[Cell]
    title: str | None = None
    strips: bool = False


def draw_grid(heads: Sequence[tuple[str, str]], rows: Sequence[Row]) -> Pixels:
    """Lay rows out under the heads of the columns, each a name and what is said below it.

    Small pictures are enlarged by whole factors, so that their pixels stay what they are; large
    ones are reduced.
    """
    cells = [cell for row in rows for cell in row.cells]
    longest = max((max(image.shape[:2]) for cell in cells for image, _ in cell.pictures), default=0)
    many = len(rows) > 4 and not any(row.strips for row in rows)
    side = next((s for s in ([SMALL, SIDE] if many else [SIDE]) if longest <= s - 2), LARGE)
    width = _LABEL + len(heads) * (side + _GAP) - _GAP
    parts = [_heads(heads, side, width)]
    for row in rows:
        parts += [] if row.title is None else [_title(row.title, width)]
        parts.append(_row(row, side, width))
    height = sum(part.height + _GAP for part in parts) - _GAP
    page = Image.new("RGB", (width + 2 * _MARGIN, height + 2 * _MARGIN), "white")
    y = _MARGIN
    for part in parts:
        page.paste(part, (_MARGIN, y))
        y += part.height + _GAP
    return np.asarray(page)


def _heads(heads: Sequence[tuple[str, str]], side: int, width: int) -> Image.Image:
    part, pen = _blank(width, 46)
    for x, (name, below) in zip(_columns(len(heads), side), heads, strict=True):
        pen.text((x, 0), _cut(name, 18, side), _INK, _font(18))
        pen.text((x, 25), _cut(below, 13, side), _SOFT, _font(13))
    return part


def _title(text: str, width: int) -> Image.Image:
    lines = _wrapped(text, 21, width)
    part, pen = _blank(width, 14 + 28 * len(lines))
    pen.line((0, 0, width, 0), _LINE)
    for i, line in enumerate(lines):
        pen.text((0, 14 + 28 * i), line, _INK, _font(21))
    return part


def _row(row: Row, side: int, width: int) -> Image.Image:
    cells = [_strip(c, side) if row.strips else _picture(c, side) for c in row.cells]
    part, pen = _blank(width, max(cell.height for cell in cells))
    pen.multiline_text((0, 4), row.label, _SOFT, _font(13), spacing=5)
    for x, cell in zip(_columns(len(cells), side), cells, strict=True):
        part.paste(cell, (x, 0))
    return part


def _picture(cell: Cell, side: int) -> Image.Image:
    return _framed(cell.pictures[0][0], side) if cell.pictures else _empty(side, side, cell.word)


def _strip(cell: Cell, side: int) -> Image.Image:
    small = (side - (_PER_LINE - 1) * _BETWEEN) // _PER_LINE
    if not cell.pictures:
        return _empty(side, small, cell.word)
    lines = math.ceil(len(cell.pictures) / _PER_LINE)
    part, pen = _blank(side, lines * (small + _CAPTION))
    for i, (image, below) in enumerate(cell.pictures):
        line, place = divmod(i, _PER_LINE)
        x, y = place * (small + _BETWEEN), line * (small + _CAPTION)
        part.paste(_framed(image, small), (x, y))
        pen.text((x + small // 2, y + small + 2), below, _SOFT, _font(11), anchor="ma")
    return part


def _empty(width: int, height: int, word: str) -> Image.Image:
    part, pen = _blank(width, height, _EMPTY)
    pen.text((width // 2, height // 2), word, _SOFT, _font(14), anchor="mm")
    return part


def _framed(pixels: Pixels, side: int) -> Image.Image:
    """A picture in the middle of a square, a thin line around it."""
    image = Image.fromarray(pixels)
    inside, longest = side - 2, max(image.size)
    if longest > inside:
        image.thumbnail((inside, inside), Image.Resampling.LANCZOS)
    else:
        factor = inside // longest
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    part, pen = _blank(side, side)
    x, y = (side - image.width) // 2, (side - image.height) // 2
    pen.rectangle((x - 1, y - 1, x + image.width, y + image.height), outline=_LINE)
    part.paste(image, (x, y))
    return part


def _columns(count: int, side: int) -> list[int]:
    return [_LABEL + i * (side + _GAP) for i in range(count)]


def _blank(
    width: int, height: int, colour: tuple[int, int, int] = (255, 255, 255)
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    part = Image.new("RGB", (width, height), colour)
    return part, ImageDraw.Draw(part)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _cut(text: str, size: int, width: int) -> str:
    """The end of a text, which tells paths apart, as far as it fits."""
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"


def _wrapped(text: str, size: int, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width:
            lines.append(_cut(word, size, width))
        else:
            lines[-1] = _cut(longer, size, width)
    return lines
