"""What captions of scenes state and leave open, found by other ways than scenes are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gandiff.experiments.scenes.captions import facts_of, p_two_objects
from gandiff.experiments.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOUR,
    RELATIONS,
    SHAPES,
    SIZES,
)

OBJECT = re.compile(
    r"\ban? (?:(small|little|large|big) )?"
    rf"(?:({'|'.join(COLOURS)}) )?({'|'.join(SHAPES)})\b"
)
RELATION = re.compile(r"\b(left|right) of\b|\b(above|over|below|under)\b")
BACKGROUND = re.compile(r"\bon (?:a )?(white|grey|gray|black|sandy|sand)\b")
WORDS = {"little": "small", "big": "large", "over": "above", "under": "below"}
WORDS |= {"left": "left of", "right": "right of", "gray": "grey", "sandy": "sand"}


def read(text: str) -> dict[str, Any]:
    """What a caption says, read by a parser that shares nothing with the writer."""

    def word(found: str | None) -> str | None:
        return WORDS.get(found, found) if found else None

    objects = [
        {"shape": shape, "colour": colour or None, "size": word(size)}
        for size, colour, shape in OBJECT.findall(text)
    ]
    relation, background = RELATION.search(text), BACKGROUND.search(text)
    alone = re.search(r"\b(only|just|alone)\b|nothing else", text)
    return {
        "objects": objects,
        "relation": word(relation[1] or relation[2]) if relation else None,
        "background": word(background[1]) if background else None,
        "count": 2 if len(objects) == 2 else 1 if alone else None,
    }


def unstated_distribution(expected: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Exact distribution of each attribute that the caption leaves open, by name.

    ``colour_0`` is the colour of the first canonical mention; a held-out pair has probability 0.
    """
    facts = facts_of(expected)
    out: dict[str, dict[str, float]] = {}
    two = float(p_two_objects(facts)[0])
    if facts.count[0] < 0:
        out["count"] = {"1": 1 - two, "2": two}
    if facts.background[0] < 0:
        out["background"] = dict.fromkeys(BACKGROUNDS, 1 / len(BACKGROUNDS))
    if facts.mentions[0] == 2 and facts.relation[0] < 0:
        out["relation"] = dict.fromkeys(RELATIONS, 1 / len(RELATIONS))
    for m in range(facts.mentions[0]):
        if facts.colour[0, m] < 0:
            banned = COLOURS[HELD_OUT_COLOUR[facts.shape[0, m]]]
            share = 1 / (len(COLOURS) - 1)
            out[f"colour_{m}"] = {c: 0.0 if c == banned else share for c in COLOURS}
        if facts.size[0, m] < 0:
            out[f"size_{m}"] = dict.fromkeys(SIZES, 1 / len(SIZES))
    return out
