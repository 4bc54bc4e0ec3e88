"""Captions that leave things out, and what a caption leaves open.

What a caption says is drawn independently of what the scene shows, so that what it leaves unsaid
keeps its prior distribution, which ``matching_scenes`` draws from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt64

from gandiff.experiments.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOUR,
    INVERSE_RELATION,
    P_TWO_OBJECTS,
    RELATIONS,
    SHAPES,
    SIZES,
    Facts,
    Scenes,
    assemble,
    held_out_objects,
    sample_scenes,
    scene_seeds,
    uniform,
)

# How often a caption says what it could say.
P_SECOND_UNSAID = 0.15
P_ONLY = 0.3  # of captions of one object: say that there is nothing else
P_COLOUR, P_SIZE, P_RELATION, P_BACKGROUND = 0.65, 0.4, 0.7, 0.5

_SIZE_WORDS = (("small", "little"), ("large", "big"))
_BACKGROUND_WORDS = (("white",), ("grey", "gray"), ("black",), ("sand", "sandy"))
_RELATION_WORDS = (
    ("left of", "to the left of"),
    ("right of", "to the right of"),
    ("above", "over"),
    ("below", "under"),
)
_OPENINGS = ("", "", "", "a picture of ", "an image of ", "there is ")
_ONLY = ("only {}", "just {}", "{} and nothing else", "{} alone")
_PAIRS = ("{} and {}", "{} with {}", "{} together with {}")


def caption_facts(
    scenes: Scenes, seeds: UInt64[np.ndarray, " n"], variant: int = 0, *, say_held_out: bool = False
) -> Facts:
    """What caption number ``variant`` of each scene states.

    ``say_held_out``: mention the object with the held-out pair, and its colour.
    """
    u = uniform(seeds, 1 + 2 * variant, 16)
    two = scenes.count == 2
    single = ~two | (u[:, 0] < P_SECOND_UNSAID)
    keep = np.where(two & (u[:, 1] < 0.5), 1, 0)  # which object a single mention is about
    held = held_out_objects(scenes)
    if say_held_out:
        keep = np.where(held.any(1), held.argmax(1), keep)
    order = np.where(single, keep, 0)
    slots = np.stack([order, 1 - order], 1)
    shape, colour, size = (
        np.take_along_axis(a, slots, 1).copy() for a in (scenes.shape, scenes.colour, scenes.size)
    )
    unsaid_colour = u[:, 2:4] >= P_COLOUR
    if say_held_out:
        unsaid_colour &= ~np.take_along_axis(held, slots, 1)
    colour[unsaid_colour] = -1
    size[u[:, 4:6] >= P_SIZE] = -1
    for array in (shape, colour, size):
        array[single, 1] = -1
    relation = np.where(single | (u[:, 6] >= P_RELATION), -1, scenes.relation)
    background = np.where(u[:, 7] < P_BACKGROUND, scenes.background, -1)
    only = ~two & (u[:, 8] < P_ONLY)
    count = np.where(only, 1, np.where(single, -1, 2))
    mentions = np.where(single, 1, 2)
    small = (
        a.astype(np.int8) for a in (mentions, count, background, shape, colour, size, relation)
    )
    return Facts(*small)


def captions(facts: Facts, seeds: UInt64[np.ndarray, " n"], variant: int = 0) -> list[str]:
    """Word the facts; which wording depends on (seed, variant) alone."""
    return worded(facts, uniform(seeds, 2 + 2 * variant, 12))


def worded(facts: Facts, u: Float64[np.ndarray, "n 12"]) -> list[str]:
    """Word the facts; the draws choose among wordings.

    Of u, 0 and 2 choose the words of mention 0 and 1, and from 0.5 on, 3 has mention 0 come first.
    """
    return [_word(facts, i, u[i]) for i in range(len(facts))]


def _choose(options: tuple[str, ...], u: float) -> str:
    return options[int(u * len(options))]


def _object(facts: Facts, i: int, mention: int, u: float) -> str:
    size, colour = int(facts.size[i, mention]), int(facts.colour[i, mention])
    words = [
        _choose(_SIZE_WORDS[size], u) if size >= 0 else "",
        COLOURS[colour] if colour >= 0 else "",
        SHAPES[facts.shape[i, mention]],
    ]
    phrase = " ".join(filter(None, words))
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _word(facts: Facts, i: int, u: Float64[np.ndarray, " 12"]) -> str:
    first = _object(facts, i, 0, u[0])
    if facts.mentions[i] == 1:
        text = _choose(_ONLY, u[1]).format(first) if facts.count[i] == 1 else first
    else:
        second, relation = _object(facts, i, 1, u[2]), int(facts.relation[i])
        if u[3] < 0.5:  # tell it from the other side
            first, second = second, first
            relation = int(INVERSE_RELATION[relation]) if relation >= 0 else -1
        if relation >= 0:
            text = f"{first} {_choose(_RELATION_WORDS[relation], u[4])} {second}"
        else:
            text = _choose(_PAIRS, u[5]).format(first, second)
    text = _choose(_OPENINGS, u[6]) + text
    background = int(facts.background[i])
    if background < 0:
        return text
    word = _choose(_BACKGROUND_WORDS[background], u[7])
    return _choose(
        (f"{text} on a {word} background", f"{text} on {word}", f"on {word}, {text}"), u[8]
    )


def expected(facts: Facts, i: int) -> dict[str, Any]:
    """Caption i's facts in words, as a suite carries them; None is unstated."""
    objects = [
        {
            "shape": SHAPES[facts.shape[i, m]],
            "colour": _label(COLOURS, facts.colour[i, m]),
            "size": _label(SIZES, facts.size[i, m]),
        }
        for m in range(facts.mentions[i])
    ]
    held = facts.colour[i] == HELD_OUT_COLOUR[np.maximum(facts.shape[i], 0)]
    return {
        "objects": objects,
        "relation": _label(RELATIONS, facts.relation[i]),
        "background": _label(BACKGROUNDS, facts.background[i]),
        "count": int(facts.count[i]) if facts.count[i] > 0 else None,
        "held_out": bool((held & (facts.shape[i] >= 0)).any()),
    }


def _label(names: tuple[str, ...], index: np.int8) -> str | None:
    return names[index] if index >= 0 else None


def _index(names: tuple[str, ...], label: str | None) -> int:
    return names.index(label) if label is not None else -1


def facts_of(expected: Mapping[str, Any]) -> Facts:
    """Read one prompt's ``expected`` back; mentions are put into canonical order."""
    objects = [
        (_index(SHAPES, o["shape"]), _index(COLOURS, o["colour"]), _index(SIZES, o["size"]))
        for o in expected["objects"]
    ]
    relation = _index(RELATIONS, expected["relation"])
    if len(objects) == 2 and objects[0][0] > objects[1][0]:
        objects.reverse()
        relation = int(INVERSE_RELATION[relation]) if relation >= 0 else -1
    table = np.full((3, 1, 2), -1, np.int8)
    for m, values in enumerate(objects):
        table[:, 0, m] = values
    count = expected["count"] if expected["count"] is not None else -1
    return Facts(
        mentions=np.array([len(objects)], np.int8),
        count=np.array([count], np.int8),
        background=np.array([_index(BACKGROUNDS, expected["background"])], np.int8),
        shape=table[0],
        colour=table[1],
        size=table[2],
        relation=np.array([relation], np.int8),
    )


def p_two_objects(facts: Facts) -> Float64[np.ndarray, " n"]:
    """Probability that a scene holds two objects, given what its caption says (Bayes' rule)."""
    unsaid = P_TWO_OBJECTS * P_SECOND_UNSAID
    alone = (1 - P_TWO_OBJECTS) * (1 - P_ONLY)
    open_ = unsaid / (unsaid + alone)
    return np.where(facts.mentions == 2, 1.0, np.where(facts.count == 1, 0.0, open_))


def matching_scenes(expected: Mapping[str, Any], n: int, seed: int) -> Scenes:
    """Draw n scenes from the distribution of those that the caption was written for."""
    one = facts_of(expected)
    rng = np.random.Generator(np.random.PCG64(seed))
    facts = one[np.zeros(n, np.int64)]
    count = 1 + (rng.random(n) < p_two_objects(facts)).astype(np.int8)
    free = sample_scenes(scene_seeds("reference", int(rng.integers(1 << 39)), n))
    shape, colour, size = facts.shape.copy(), facts.colour.copy(), facts.size.copy()
    missing = shape[:, 1] < 0
    other = (shape[:, 0] + 1 + rng.integers(0, len(SHAPES) - 1, n)) % len(SHAPES)
    shape[missing, 1] = other[missing]
    any_colour = rng.integers(0, len(COLOURS) - 1, (n, 2))
    any_colour = any_colour + (any_colour >= HELD_OUT_COLOUR[shape])
    colour = np.where(colour < 0, any_colour, colour)
    size = np.where(size < 0, rng.integers(0, 2, (n, 2)), size)
    relation = np.where(facts.relation < 0, rng.integers(0, len(RELATIONS), n), facts.relation)
    background = np.where(facts.background < 0, free.background, facts.background)
    return assemble(count, background, shape, colour, size, relation, rng.random((n, 20)))
