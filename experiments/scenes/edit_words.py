"""What is said of an edit: captions before and after, the instruction, what changes, what is kept.

Captions are worded as all captions of scenes are, but leave out less: shapes, colours and the
relation are always stated, sizes and the background sometimes. Both captions of an edit state the
same things in the same words, but for what the edit changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt64

from gandiff.common.words import with_article
from gandiff.experiments.scenes.captions import (
    P_BACKGROUND,
    P_ONLY,
    P_SIZE,
    expected,
    worded,
)
from gandiff.experiments.scenes.changes import Change
from gandiff.experiments.scenes.facts import (
    HELD_OUT_PAIRS,
    INVERSE_RELATION,
    RELATIONS,
    Facts,
    Scenes,
    uniform,
)

FIRST_STREAM = 1 << 30  # of random draws; scenes and their captions have those from 0 on


class EditWords(NamedTuple):
    """The words of an edit, the facts of both captions, and those that it changes and keeps."""

    before: Facts
    after: Facts
    caption_before: str
    caption_after: str
    instruction: str
    changed: Mapping[str, Any]
    kept: Mapping[str, Any]


def edit_words(kind: str, change: Change, seed: UInt64[np.ndarray, " 1"]) -> EditWords:
    """Put an edit into words, chosen by the seed alone.

    The scene before fits the caption before and not the one after; the scene after, the other way
    round. ``changed`` and ``kept`` have the form of a prompt's ``expected`` and hold everything
    that is true of the target: what the edit made so, and what was so before. None is neither, so
    a reshaped object is kept as one without a shape.
    """
    says, words = uniform(seed, FIRST_STREAM, 4), uniform(seed, FIRST_STREAM + 1, 12)
    before = _stated(kind, change.source, change.source_slot, says[0])
    caption_before = worded(before, words)[0]
    if change.source_slot != change.target_slot:  # the objects are in each other's slots
        says[:, [0, 1]] = says[:, [1, 0]]
        words[:, [0, 2]] = words[:, [2, 0]]
        words[:, 3] = np.where(words[:, 3] < 0.5, 0.75, 0.25)
    after = _stated(kind, change.target, change.target_slot, says[0])
    return EditWords(
        before,
        after,
        caption_before,
        worded(after, words)[0],
        _instruction(kind, change),
        _changed(kind, change),
        _kept(kind, change),
    )


def _everything(scene: Scenes) -> Facts:
    """A caption that leaves nothing out."""
    return Facts(
        mentions=scene.count,
        count=scene.count,
        background=scene.background,
        shape=scene.shape,
        colour=scene.colour,
        size=scene.size,
        relation=scene.relation,
    )


def _stated(kind: str, scene: Scenes, slot: int, says: Float64[np.ndarray, " 4"]) -> Facts:
    """What the caption of a scene states; the edit is of the object in this slot."""
    facts = _everything(scene)
    is_said = says[:2] < P_SIZE
    if kind == "add":
        is_said = is_said | (np.arange(2) == slot)
    size = np.where(is_said, facts.size, -1).astype(np.int8)
    # Addition and removal change whether an object is the only one.
    alone_unsaid = scene.count[0] == 1 and kind not in ("add", "remove") and says[2] >= P_ONLY
    count = np.where(alone_unsaid, -1, facts.count).astype(np.int8)
    background_unsaid = kind != "background" and says[3] >= P_BACKGROUND
    background = np.where(background_unsaid, -1, facts.background).astype(np.int8)
    return Facts(facts.mentions, count, background, facts.shape, facts.colour, size, facts.relation)


def _instruction(kind: str, change: Change) -> str:
    before, after = (expected(_everything(s), 0) for s in (change.source, change.target))
    if kind == "background":
        return f"make the background {after['background']}"
    if kind == "remove":
        return f"remove the {_name(before['objects'][change.source_slot])}"
    new = after["objects"][change.target_slot]
    if kind == "add":
        other = _name(after["objects"][1 - change.target_slot])
        relation = change.target.relation[0]
        if change.target_slot == 1:
            relation = INVERSE_RELATION[relation]
        article = with_article(f"{new['size']} {_name(new)}")
        return f"put {article} {RELATIONS[relation]} the {other}"
    old = _name(before["objects"][change.source_slot])
    return f"turn the {old} into {with_article(_name(new))}"


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['colour']} {one['shape']}"


def _changed(kind: str, change: Change) -> Mapping[str, Any]:
    truth = expected(_everything(change.target), 0)
    if kind == "background":
        return _facts([], background=truth["background"])
    if kind == "remove":
        return _facts([truth["objects"][0] | {"colour": None, "size": None}], count=1)
    objects, slot = truth["objects"], change.target_slot
    if kind == "add":
        objects[1 - slot] |= {"colour": None, "size": None}
        return _facts(objects, relation=truth["relation"], count=2)
    return _facts([objects[slot] | {"size": None}])


def _kept(kind: str, change: Change) -> Mapping[str, Any]:
    truth = expected(_everything(change.target), 0)
    objects, slot = truth["objects"], change.target_slot
    if kind == "background":
        truth["background"] = None
    elif kind == "remove":
        truth["count"] = None
    elif kind == "add":
        objects, truth["relation"], truth["count"] = [objects[1 - slot]], None, None
    else:
        objects[slot]["colour" if kind == "recolour" else "shape"] = None
    return _facts(objects, truth["relation"], truth["background"], truth["count"])


def _facts(
    objects: Sequence[Mapping[str, Any]],
    relation: str | None = None,
    background: str | None = None,
    count: int | None = None,
) -> Mapping[str, Any]:
    """Facts in the form of a prompt's ``expected``."""
    return {
        "objects": [dict(one) for one in objects],
        "relation": relation,
        "background": background,
        "count": count,
        "held_out": any((one["shape"], one["colour"]) in HELD_OUT_PAIRS for one in objects),
    }
