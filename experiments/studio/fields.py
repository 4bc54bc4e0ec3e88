"""What people write into the fields of the page, read; every error says what must hold."""

from __future__ import annotations

import re
from typing import NamedTuple

from gandiff.common.errors import RequestError, show

MOST_SEEDS = 8  # pictures of each model in one go
_LARGEST = 2**32 - 1


class Region(NamedTuple):
    """A rectangle of a picture, in px."""

    left: int
    top: int
    width: int
    height: int


def read_seeds(text: str | None) -> list[int]:
    """Read seeds: numbers and ranges such as ``3, 5-8``, each once, in the order given.

    Raises ``RequestError`` for anything else, and for more than ``MOST_SEEDS``.
    """
    seeds: dict[int, None] = {}
    for part in re.split(r"[,;\s]+", (text or "").strip()):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= _LARGEST:
            raise RequestError(
                f"seeds must be whole numbers from 0 to {_LARGEST} or ranges of them, such as "
                f"0 or 3, 5-8; got {show(text or '')}"
            )
        seeds |= dict.fromkeys(range(first, min(last, first + MOST_SEEDS) + 1))
    if len(seeds) > MOST_SEEDS:
        raise RequestError(f"at most {MOST_SEEDS} seeds at a time, got more: {show(text)}")
    return list(seeds)


def read_region(text: str | None, side: int) -> Region | None:
    """Read a region of a square picture, ``left, top, width, height`` in px; None where nothing is
    written.

    Raises ``RequestError`` for anything else, and for one that is not within the picture.
    """
    words = [word for word in re.split(r"[,;\s]+", text or "") if word]
    if not words:
        return None
    if len(words) != 4 or not all(re.fullmatch(r"-?\d{1,9}", word) for word in words):
        raise RequestError(
            "the region must be left, top, width, height in px, such as 8, 8, 16, 16; got "
            f"{show(text)}"
        )
    region = Region(*map(int, words))
    ends = region.left + region.width, region.top + region.height
    if min(region.left, region.top) < 0 or min(region[2:]) < 1 or max(ends) > side:
        raise RequestError(
            f"the region {', '.join(words)} is not inside of the picture, which is {side} x {side} "
            f"px; must be within 0, 0, {side}, {side}"
        )
    return region
