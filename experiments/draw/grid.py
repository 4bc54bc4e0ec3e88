"""A page of pictures with the models above the columns and the prompts above the rows."""

from __future__ import annotations

import dataclasses
import functools
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps

Pixels = UInt8[np.ndarray, "_ _ 3"]
Cell = Sequence[tuple[Pixels, str]] | str  # pictures and what is written below each, or a word

# px of a cell, its frame included, where there are many rows, usually, and for larger pictures
SMALL, SIDE, LARGE = 194, 290, 514
_MARGIN, _GAP, _LABEL = 28, 14, 124  # px; the last is the width of the column on the left
_PER_LINE, _BETWEEN, _CAPTION = 4, 6, 20  # frames in a line, px between, px for a caption below
_INK, _SOFT, _LINE, _EMPTY = (32, 33, 36), (110, 114, 120), (218, 220, 224), (245, 246, 247)


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
    pictures = [
        image
        for row in rows
        for cell in row.cells
        if not isinstance(cell, str)
        for image, _ in cell
    ]
    longest = max((max(image.shape[:2]) for image in pictures), default=0)
    many = len(rows) > 4 and not any(row.strips for row in rows)
    side = next((s for s in ([SMALL, SIDE] if many else [SIDE]) if longest <= s - 2), LARGE)
    columns = [_LABEL + i * (side + _GAP) for i in range(len(heads))]
    width = columns[-1] + side
    parts = [_heads(heads, columns, side)]
    for row in rows:
        parts += [] if row.title is None else [_title(row.title, width)]
        parts.append(_row(row, columns, side))
    page, _ = _blank(width, sum(part.height + _GAP for part in parts) - _GAP)
    y = 0
    for part in parts:
        page.paste(part, (0, y))
        y += part.height + _GAP
    return np.asarray(ImageOps.expand(page, _MARGIN, "white"))


def _heads(heads: Sequence[tuple[str, str]], columns: Sequence[int], side: int) -> Image.Image:
    part, pen = _blank(columns[-1] + side, 46)
    for x, (name, below) in zip(columns, heads, strict=True):
        pen.text((x, 0), _end(name, 18, side), _INK, _font(18))
        pen.text((x, 25), _end(below, 13, side), _SOFT, _font(13))
    return part


def _title(text: str, width: int) -> Image.Image:
    letters = len(text) * width / _font(21).getlength(text)  # of usual width
    lines = textwrap.wrap(text, max(1, int(0.95 * letters)))
    part, pen = _blank(width, 14 + 28 * len(lines))
    pen.line((0, 0, width, 0), _LINE)
    for i, line in enumerate(lines):
        pen.text((0, 14 + 28 * i), line, _INK, _font(21))
    return part


def _row(row: Row, columns: Sequence[int], side: int) -> Image.Image:
    cells = [_cell(cell, side, _PER_LINE if row.strips else 1) for cell in row.cells]
    part, pen = _blank(columns[-1] + side, max(cell.height for cell in cells))
    pen.multiline_text((0, 4), row.label, _SOFT, _font(13), spacing=5)
    for x, cell in zip(columns, cells, strict=True):
        part.paste(cell, (x, 0))
    return part


def _cell(cell: Cell, side: int, per_line: int) -> Image.Image:
    small = (side - (per_line - 1) * _BETWEEN) // per_line
    if isinstance(cell, str):
        part, pen = _blank(side, small, _EMPTY)
        pen.text((side // 2, small // 2), cell, _SOFT, _font(14), anchor="mm")
        return part
    height = small + (_CAPTION if per_line > 1 else 0)
    part, pen = _blank(side, math.ceil(len(cell) / per_line) * height)
    for i, (pixels, caption) in enumerate(cell):
        x, y = i % per_line * (small + _BETWEEN), i // per_line * height
        image = _framed(pixels, small)
        part.paste(image, (x + (small - image.width) // 2, y + (small - image.height) // 2))
        pen.text((x + small // 2, y + small + 2), caption, _SOFT, _font(11), anchor="ma")
    return part


def _framed(pixels: Pixels, side: int) -> Image.Image:
    """A picture with a thin line around it, as large as fits into a square."""
    image, inside = Image.fromarray(pixels), side - 2
    if factor := inside // max(image.size):
        image = ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    else:
        image.thumbnail((inside, inside), Image.Resampling.LANCZOS)
    return ImageOps.expand(image, 1, _LINE)


def _blank(
    width: int, height: int, colour: tuple[int, int, int] = (255, 255, 255)
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    part = Image.new("RGB", (width, height), colour)
    return part, ImageDraw.Draw(part)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _end(text: str, size: int, width: int) -> str:
    """The end of a text, which tells paths apart, as far as it fits."""
    ends = (text, *(f"…{text[i:]}" for i in range(1, len(text) + 1)))
    return next(end for end in ends if _font(size).getlength(end) <= width)
