"""Edits with ground truth: a scene before and after, words for both, and the region that changes.

``edit_suite`` makes them, ``edit_pictures`` draws them at any resolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from gandiff.common.names import did_you_mean
from gandiff.experiments.scenes.captions import expected
from gandiff.experiments.scenes.changes import KINDS, Change, change
from gandiff.experiments.scenes.edit_words import FIRST_STREAM, EditWords, edit_words
from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds, uniform
from gandiff.experiments.scenes.maps import depth, object_masks, outlines, widened
from gandiff.experiments.scenes.render import render

EDIT_KINDS = tuple(KINDS)
_CHUNK = 64  # scenes that are looked at at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """One edit. The target is the source but for what the words say.

    ``change`` has both scenes, each one alone; ``words`` the captions, the instruction and the
    facts that change and that are kept.
    """

    id: str
    kind: str
    change: Change
    words: EditWords
    held_out: bool

    def to_dict(self) -> dict[str, Any]:
        """The edit as a prompt of a suite that asks for the target, and what else is said of it.

        ``text`` is the caption after and ``expected`` the facts that it states. In ``edit`` stand
        the instruction, the caption before with its facts (``expected_before``), and ``changed``
        and ``kept``, which ``edit_words`` describes.
        """
        return {
            "id": self.id,
            "text": self.words.caption_after,
            "category": self.kind,
            "tags": ["held-out pair"] if self.held_out else [],
            "expected": expected(self.words.after, 0),
            "edit": {
                "instruction": self.words.instruction,
                "caption_before": self.words.caption_before,
                "expected_before": expected(self.words.before, 0),
                "changed": self.words.changed,
                "kept": self.words.kept,
            },
        }


class EditPictures(NamedTuple):
    """What an edit looks like.

    ``mask`` is 255 where the picture may change and 0 elsewhere, ``keep`` the other way round.
    Outlines and depth are those of the target, as control images.
    """

    source: UInt8[np.ndarray, "h w 3"]
    target: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    keep: UInt8[np.ndarray, "h w"]
    outlines: UInt8[np.ndarray, "h w 3"]
    depth: UInt8[np.ndarray, "h w 3"]


def edit_suite(
    split: str, n: int, *, kinds: Sequence[str] = EDIT_KINDS, held_out: bool = False
) -> list[Edit]:
    """The first n edits of a split, the kinds in turn.

    A longer suite begins with the shorter one. Edit number j of a kind is the same whatever other
    kinds there are. Recolouring, reshaping and changing the background begin with the same scenes,
    in the same order; removals with those of two objects. Every target of ``held_out`` edits has a
    held-out pair, which the edit makes where it recolours, reshapes or adds; without it, neither
    source nor target has one. Raises ``ValueError`` for an unknown split or kind, a kind that is
    given twice, no kinds and a negative n.
    """
    if n < 0:
        raise ValueError(f"n must be at least 0, got {n}")
    if not kinds:
        raise ValueError(f"there must be a kind of edit; there are {', '.join(EDIT_KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"no kind of edit is named {kind!r}{did_you_mean(kind, KINDS)}")
        if list(kinds).count(kind) > 1:
            raise ValueError(f"each kind of edit must be given once, got {kind!r} twice")
    edits = {kind: _edits(split, kind, held_out) for kind in kinds}
    return [next(edits[kinds[i % len(kinds)]]) for i in range(n)]


def _edits(split: str, kind: str, held_out: bool) -> Iterator[Edit]:
    """All edits of one kind, in the order of the scenes."""
    # A recoloured or reshaped object only becomes a held-out pair.
    has_pair = held_out and kind not in ("recolour", "reshape")
    stream, number, start = FIRST_STREAM + 2 + EDIT_KINDS.index(kind), 0, 0
    while True:
        seeds = scene_seeds(split, start, _CHUNK, held_out=has_pair)
        scenes, draws = sample_scenes(seeds), uniform(seeds, stream, 2)
        for i in range(_CHUNK):
            made = change(kind, scenes[i : i + 1], draws[i], held_out=held_out)
            if made is not None:
                name = f"{split}-{kind}{'-held-out' if held_out else ''}-{number:05d}"
                words = edit_words(kind, made, seeds[i : i + 1])
                yield Edit(id=name, kind=kind, change=made, words=words, held_out=held_out)
                number += 1
        start += _CHUNK


def edit_margin(resolution: int) -> float:
    """By how many px a mask is wider than what changes: a 16th of the side, at least 2."""
    return max(2.0, resolution / 16)


def edit_pictures(edit: Edit, resolution: int = 32) -> EditPictures:
    """Draw an edit at ``resolution`` px.

    The mask holds the object before and the object after with a margin of ``edit_margin``, but no
    margin where another object is; of an edit of the background, all that the background shines
    through. Outside of it source and target are equal, pixel for pixel. Below 32 px the arms of a
    small object may let the background shine through everywhere, and the mask be all 255. Raises
    ``ValueError`` for a resolution below 8 px.
    """
    source, target = edit.change.source, edit.change.target
    region = _region(edit, resolution)
    return EditPictures(
        render(source, resolution)[0],
        render(target, resolution)[0],
        np.where(region, 255, 0).astype(np.uint8),
        np.where(region, 0, 255).astype(np.uint8),
        outlines(target, resolution)[0],
        depth(target, resolution)[0],
    )


def _region(edit: Edit, resolution: int) -> Bool[np.ndarray, "h w"]:
    """Where the target may differ from the source."""
    source, target, source_slot, target_slot = edit.change
    before, after = (object_masks(scene, resolution)[0] for scene in (source, target))
    if edit.kind == "background":
        return np.asarray(before.sum(0) < 1)
    is_drawn = (before[source_slot] > 0) | (after[target_slot] > 0)
    is_other = before[1 - source_slot] > 0
    near = widened(is_drawn[None], edit_margin(resolution))[0]
    return np.asarray(is_drawn | (near & ~is_other))
