"""How edits change a scene: one thing, and everything else stays as it was to the last digit.

Each kind takes one scene and gives the scene before and after, or None where the scene cannot be
edited so. The draws, in [0, 1), choose the object and what becomes of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from gandiff.experiments.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOUR,
    INVERSE_RELATION,
    Scenes,
    held_out_objects,
)


class Change(NamedTuple):
    """One scene before and after, and in which slot of each the changed object is.

    A slot is blank where the object is not there: after its removal, before it was added. The
    slots of a change of the background are both 0.
    """

    source: Scenes
    target: Scenes
    source_slot: int
    target_slot: int


Kind = Callable[[Scenes, np.ndarray, bool], Change | None]


def change(
    kind: str, scene: Scenes, u: Float64[np.ndarray, " 2"], *, held_out: bool = False
) -> Change | None:
    """Edit one scene as one of ``KINDS`` says; ``u`` are two draws in [0, 1).

    An addition gives the scene as its target, the other kinds as their source. Without
    ``held_out`` neither scene of the change has a held-out pair. With it the target has one, which
    a recolouring, reshaping or addition makes and the other kinds keep. None where the scene does
    not allow such an edit.
    """
    made = KINDS[kind](scene, u, held_out)
    if made is None:
        return None
    in_source = held_out and kind not in MAKES_PAIRS
    had, has = (bool(held_out_objects(s).any()) for s in (made.source, made.target))
    return made if (had, has) == (in_source, held_out) else None


def _recolour(scene: Scenes, u: np.ndarray, held_out: bool) -> Change | None:
    slot = _choose(range(int(scene.count[0])), u[0])
    is_held_out = np.arange(len(COLOURS)) == HELD_OUT_COLOUR[scene.shape[0, slot]]
    options = np.flatnonzero(is_held_out == held_out)
    options = options[options != scene.colour[0, slot]]
    if not len(options):
        return None
    target = _with(scene, "colour", slot, _choose(options, u[1]))
    return Change(scene, target, slot, slot)


def _reshape(scene: Scenes, u: np.ndarray, held_out: bool) -> Change | None:
    slot = _choose(range(int(scene.count[0])), u[0])
    options = np.flatnonzero((scene.colour[0, slot] == HELD_OUT_COLOUR) == held_out)
    options = options[~np.isin(options, scene.shape[0])]
    if not len(options):
        return None
    shape = _choose(options, u[1])
    target = _with(scene, "shape", slot, shape)
    if target.count[0] == 2 and target.shape[0, 0] > target.shape[0, 1]:
        return Change(scene, _turned_round(target), slot, 1 - slot)
    return Change(scene, target, slot, slot)


def _remove(scene: Scenes, u: np.ndarray, held_out: bool) -> Change | None:
    if scene.count[0] != 2:
        return None
    # The held-out pair, where there is one, is what stays.
    held = held_out_objects(scene)[0]
    slot = int(held.argmin()) if held_out else _choose(range(2), u[0])
    return Change(scene, _alone(scene, 1 - slot), slot, 1)


def _add(scene: Scenes, u: np.ndarray, held_out: bool) -> Change | None:
    if scene.count[0] != 2:
        return None
    held = held_out_objects(scene)[0]
    slot = int(held.argmax()) if held_out else _choose(range(2), u[0])
    return Change(_alone(scene, 1 - slot), scene, 1, slot)


def _background(scene: Scenes, u: np.ndarray, held_out: bool) -> Change | None:
    options = np.flatnonzero(np.arange(len(BACKGROUNDS)) != scene.background[0])
    background = np.full_like(scene.background, _choose(options, u[1]))
    return Change(scene, dataclasses.replace(scene, background=background), 0, 0)


KINDS: Mapping[str, Kind] = {
    "recolour": _recolour,
    "reshape": _reshape,
    "remove": _remove,
    "add": _add,
    "background": _background,
}
MAKES_PAIRS = ("recolour", "reshape", "add")  # of shape and colour
_OF_OBJECTS = ("shape", "colour", "size", "centre", "radius", "object_jitter")


def _choose(options: range | np.ndarray, u: float) -> int:
    return int(options[int(u * len(options))])


def _with(scene: Scenes, name: str, slot: int, value: int) -> Scenes:
    array = getattr(scene, name).copy()
    array[0, slot] = value
    return dataclasses.replace(scene, **{name: array})


def _turned_round(scene: Scenes) -> Scenes:
    """The same two objects in each other's slots."""
    objects = {name: getattr(scene, name)[:, ::-1].copy() for name in _OF_OBJECTS}
    return dataclasses.replace(scene, relation=INVERSE_RELATION[scene.relation], **objects)


def _alone(scene: Scenes, slot: int) -> Scenes:
    """One of two objects without the other."""
    alone = _turned_round(scene) if slot == 1 else scene
    facts = {name: getattr(alone, name).copy() for name in ("shape", "colour", "size")}
    for array in facts.values():
        array[0, 1] = -1
    one, none = np.ones_like(scene.count), np.full_like(scene.relation, -1)
    return dataclasses.replace(alone, count=one, relation=none, **facts)
