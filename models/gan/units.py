"""What the units of a GAN stand for, and which of them to switch; nothing here imports torch.

A unit is a channel of the features of a level. GAN dissection (Bau et al. 2019, arXiv 1811.10597)
ranks units by how well their thresholded maps agree with masks of a concept; set to the levels that
they have where the concept is, those that agree best make it appear. Levels are known by place in
the box around an object, as that paper's segmentation knows the parts of objects: a star's left is
not its top.
"""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from gandiff.common.errors import GeneratorError
from gandiff.common.files import file_sha256, write_atomically
from gandiff.common.names import did_you_mean
from gandiff.models.gan.config import WEIGHTS

UNITS = "units.npz"
OBJECT = "object"  # the concept of any object at all, the first of all concepts
GRID = 8  # places along a side of the box
SHARE = 0.25  # of the units of a level, the best of which are switched for a concept
EMPHASIS = 1.5  # how much farther from any object's levels than the concept's own
_KEY = "gandiff_units"
_ADDRESS = re.compile("[0-9]{1,9}:[0-9]{1,9}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Units:
    """A dissection. Units are numbered from 0 in each level; arrays have them level by level.

    ``iou`` is the agreement of a unit with a concept where the unit is above ``threshold``, or
    below it where ``sign`` is -1. ``levels`` are its means where the concept is, by place in the
    box from top left, ``off`` its mean where no object is, ``high`` its 99 % quantile.
    """

    weights_sha256: str
    sizes: tuple[int, ...]  # px of the levels
    widths: tuple[int, ...]  # how many units they have
    concepts: tuple[str, ...]
    iou: Float32[np.ndarray, "c u"]
    threshold: Float32[np.ndarray, "c u"]
    sign: Float32[np.ndarray, "c u"]
    levels: Float32[np.ndarray, "c u g g"]
    off: Float32[np.ndarray, " u"]
    high: Float32[np.ndarray, " u"]

    def of_level(self, size: int) -> slice:
        """The places of the units of a level."""
        at = self.sizes.index(size)
        start = sum(self.widths[:at])
        return slice(start, start + self.widths[at])

    def address(self, unit: int) -> str:
        """How a unit is written: ``16:5`` is unit 5 of the level of 16 px."""
        for size in self.sizes:
            level = self.of_level(size)
            if unit < level.stop:
                return f"{size}:{unit - level.start}"
        raise IndexError(unit)

    def best(self, concept: str, count: int) -> list[int]:
        """The units that agree best with a concept, over all levels."""
        iou = self.iou[self.concepts.index(concept)]
        return [int(unit) for unit in np.argsort(-iou, kind="stable")[:count]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch:
    """Units to switch, and by place in the box of the region the levels to set them to, which every
    unit has, so that others can be switched in their place.
    """

    units: Units
    chosen: Bool[np.ndarray, " u"]
    target: Float32[np.ndarray, "u g g"]


def switch_of(units: Units, text: str) -> Switch:
    """Read which units to switch: names of concepts, ``red star``, and numbers, ``16:5``.

    Named concepts are switched on together, as one object that is all of them: the best quarter of
    every level, by the sum of their agreements. A number switches that unit to its high level. With
    ``-`` before it, a concept's units or a unit are switched off, to the level where no object is.
    Raises ``GeneratorError`` for what does not exist, and for what stands there twice.
    """
    chosen = np.zeros(units.iou.shape[1], bool)
    named, off = list[str](), list[str]()
    words = text.replace(",", " ").split()
    if not words:
        raise GeneratorError(f"units {text!r}: name a concept{did_you_mean('', units.concepts)}")
    for word in words:
        bare = word.removeprefix("-")
        if not _ADDRESS.fullmatch(bare):
            if bare not in units.concepts:
                raise GeneratorError(
                    f"units {text!r}: no concept is named {bare!r}"
                    f"{did_you_mean(bare, units.concepts)}; a unit is written 16:5, its level in "
                    "px and its number"
                )
            (off if word != bare else named).append(bare)
    _check_each_once(text, words)
    erases = all(word.startswith("-") for word in words)
    alone = (units.off if erases else units.high)[:, None, None]
    target = np.broadcast_to(alone, units.levels.shape[1:]).copy()
    if named:
        chosen |= _strongest(units, named)
        target = _together(units, named)
    for concept in off:
        best = _strongest(units, [concept])
        chosen |= best
        target[best] = units.off[best, None, None]
    for word in words:
        bare = word.removeprefix("-")
        if _ADDRESS.fullmatch(bare):
            unit = _numbered(units, text, bare)
            chosen[unit] = True
            target[unit] = (units.off if word != bare else units.high)[unit]
    return Switch(units=units, chosen=chosen, target=target)


def _check_each_once(text: str, words: Sequence[str]) -> None:
    on: dict[str, bool] = {}
    for word in words:
        name = word.removeprefix("-")
        if _ADDRESS.fullmatch(name):  # 16:05 is 16:5
            name = ":".join(str(int(part)) for part in name.split(":"))
        is_on = not word.startswith("-")
        if name in on:
            both = "both on and off" if on[name] != is_on else "twice"
            raise GeneratorError(f"units {text!r}: {name} stands there {both}; write it once")
        on[name] = is_on


def at_random(switch: Switch, seed: int) -> Switch:
    """As many units of each level, any ones, set to the levels that they themselves have where the
    same concepts are: a control.
    """
    random, chosen = np.random.default_rng(seed), np.zeros_like(switch.chosen)
    for size in switch.units.sizes:
        level = switch.units.of_level(size)
        places = random.permutation(level.stop - level.start)
        chosen[level.start + places[: switch.chosen[level].sum()]] = True
    return dataclasses.replace(switch, chosen=chosen)


def _together(units: Units, concepts: Sequence[str]) -> Float32[np.ndarray, "u g g"]:
    """The levels of something that is all of these: what each adds to any object's levels."""
    common = units.levels[0]
    added = sum(units.levels[units.concepts.index(name)] - common for name in concepts)
    return np.asarray(common + EMPHASIS * added, np.float32)


def _strongest(units: Units, concepts: Sequence[str]) -> Bool[np.ndarray, " u"]:
    chosen = np.zeros(units.iou.shape[1], bool)
    rows = [units.concepts.index(name) for name in concepts]
    for size in units.sizes:
        level = units.of_level(size)
        iou = units.iou[rows, level]
        # Concepts that cover less agree less with every unit, and count as much.
        agreement = (iou / iou.mean(1, keepdims=True).clip(1e-6)).sum(0)
        order = np.argsort(-agreement, kind="stable")
        chosen[level.start + order[: max(1, round(SHARE * len(order)))]] = True
    return chosen


def _numbered(units: Units, text: str, address: str) -> int:
    size, number = (int(part) for part in address.split(":"))
    if size not in units.sizes:
        raise GeneratorError(
            f"units {text!r}: there is no dissected level of {size} px; the levels are "
            f"{', '.join(map(str, units.sizes))} px"
        )
    level = units.of_level(size)
    if number >= level.stop - level.start:
        raise GeneratorError(
            f"units {text!r}: the level of {size} px has the units 0 to "
            f"{level.stop - level.start - 1}, got {number}"
        )
    return int(level.start) + number


# In a file, beside the weights.


def write_units(path: Path, units: Units) -> None:
    """Write a dissection; the levels in half precision, which is finer than they are known."""
    buffer = io.BytesIO()
    values: dict[str, Any] = dataclasses.asdict(units)
    values |= {"levels": units.levels.astype(np.float16), _KEY: np.array(1)}
    np.savez_compressed(buffer, **values)
    write_atomically(path, buffer.getbuffer())


def is_our_units(path: Path) -> bool:
    """Whether ``write_units`` wrote a file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return _KEY in file
    except _BROKEN:
        return False


def read_units(folder: Path) -> Units:
    """Read the dissection of the weights in a folder; raises ``GeneratorError`` if there is none or
    it is one of other weights.
    """
    path, again = folder / UNITS, f"gandiff explore units --weights {folder}"
    if not path.is_file():
        raise GeneratorError(
            f"{folder} has no {UNITS}, which says what its units stand for; write it with: {again}"
        )
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            values: dict[str, Any] = {name: file[name] for name in file.files if name != _KEY}
        lists: dict[str, Any] = {name: tuple(values.pop(name).tolist()) for name in _LISTS}
        sha256 = str(values.pop("weights_sha256"))
        values["levels"] = values["levels"].astype(np.float32)
        units = Units(weights_sha256=sha256, **lists, **values)
    except _BROKEN as error:
        raise GeneratorError(f"{path} cannot be read; write it again with: {again}") from error
    if sha256 != file_sha256(folder / WEIGHTS):
        raise GeneratorError(f"{path} is of other weights; write it again with: {again}")
    return units


_BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)
_LISTS = ("sizes", "widths", "concepts")
