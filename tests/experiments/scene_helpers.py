"""What captions of scenes leave open, computed by another way than the scenes are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gandiff.experiments.scenes.captions import facts_of, p_two_objects
from gandiff.experiments.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOUR,
    RELATIONS,
    SIZES,
)


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
