"""Mismatched captions: those that a scene does not fit, as near to the right one as can be."""

from __future__ import annotations

import copy

import numpy as np
from jaxtyping import Int8

from gandiff.experiments.scenes.facts import HELD_OUT_COLOUR, INVERSE_RELATION, LABELS, Facts


def mismatched(facts: Facts, rng: np.random.Generator, *, held_out: bool = True) -> Facts:
    """Change exactly one stated fact of each caption: the hardest mismatched captions.

    A scene that fits the old caption does not fit the new one, but for one case: a caption of one
    object that leaves open a second may now name the second. ``fits`` answers for a scene, and
    ``may_be_joined`` for the captions. Without ``held_out`` no change makes a held-out pair: what
    trains a generator must not meet one, not even as a mismatch.
    """
    new = copy.deepcopy(facts)
    stated = np.stack([_of(facts, kind, mention) >= 0 for kind, mention in _CHANGEABLE], 1)
    chosen = np.argmax(np.where(stated, rng.random(stated.shape), -1.0), 1)
    for i, (kind, mention) in enumerate(_CHANGEABLE):
        rows = np.flatnonzero(chosen == i)
        barred = _barred(facts[rows], kind, mention, held_out=held_out)
        _of(new, kind, mention)[rows] = np.argmax(rng.random(barred.shape) - barred, 1)
    _restore_order(new)
    return new


def may_be_joined(facts: Facts, changed: Facts) -> np.ndarray:
    """Whether one scene can fit a caption and what ``mismatched`` made of it, as booleans (n,).

    "A star" and "a ring" can: a star beside a ring.
    """
    open_second = (facts.mentions == 1) & (facts.count < 0)
    return np.asarray(open_second & (facts.shape[:, 0] != changed.shape[:, 0]))


def _barred(facts: Facts, kind: str, mention: int, *, held_out: bool) -> np.ndarray:
    """Which labels (n, l) a fact cannot change to."""
    labels = np.arange(len(LABELS[kind]))[None]
    barred = labels == _of(facts, kind, mention)[:, None]
    if kind == "shape":  # that of the other mention: captions have no two objects of one shape
        barred = barred | (labels == facts.shape[:, 1 - mention, None])
        if not held_out:
            barred = barred | (HELD_OUT_COLOUR[labels] == facts.colour[:, mention, None])
    elif kind == "colour" and not held_out:
        barred = barred | (labels == HELD_OUT_COLOUR[facts.shape[:, mention, None]])
    return np.asarray(barred)


# What may be changed, and of which mention; the last two belong to the whole caption.
_CHANGEABLE = (
    *((kind, mention) for kind in ("shape", "colour", "size") for mention in (0, 1)),
    ("relation", -1),
    ("background", -1),
)


def _of(facts: Facts, kind: str, mention: int) -> Int8[np.ndarray, " n"]:
    """One kind of fact of all captions, as a view."""
    array: np.ndarray = getattr(facts, kind)
    return array[:, mention] if array.ndim == 2 else array


def _restore_order(facts: Facts) -> None:
    """Put two mentions into canonical order, in place; the relation turns round with them."""
    swap = np.flatnonzero((facts.mentions == 2) & (facts.shape[:, 0] > facts.shape[:, 1]))
    for array in (facts.shape, facts.colour, facts.size):
        array[swap] = array[swap][:, ::-1]
    related = swap[facts.relation[swap] >= 0]
    facts.relation[related] = INVERSE_RELATION[facts.relation[related]]
