"""Which of the facts that a prompt states are true of a picture: the rule behind scene accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ATTRIBUTES = ("shape", "colour", "size")  # of one object
KINDS = (*ATTRIBUTES, "background", "relation", "count")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def judge_facts(expected: Mapping[str, Any], predicted: Mapping[str, Any]) -> dict[str, float]:
    """Shares of the stated facts that are right, 0..1, by kind; kinds that are not stated are left
    out.

    Both mappings hold ``objects`` (each with ``shape``, ``colour``, ``size``), ``relation`` (of the
    first to the second), ``background`` and ``count``; what is None or missing in ``expected`` is
    not judged. The prompt's objects are matched one to one with the picture's so that most facts
    come out right; an object without a counterpart has all its facts wrong. Two objects state a
    count of 2. ``all`` is 1.0 where every stated fact is right; ``held_out_all`` repeats it for
    prompts of held-out pairs.
    """
    facts = _facts(expected, predicted, match_objects(expected, predicted))
    shares = {kind: sum(found) / len(found) for kind, found in facts.items() if found}
    shares["all"] = float(all(share == 1 for share in shares.values()))
    if expected.get("held_out"):
        shares["held_out_all"] = shares["all"]
    return shares


def match_objects(
    expected: Mapping[str, Any], predicted: Mapping[str, Any]
) -> tuple[int | None, ...]:
    """For each object of the prompt its place among the picture's (None: no counterpart), so that
    most stated facts come out right.
    """
    ways = _assignments(len(expected["objects"]), len(predicted["objects"]))
    return max(ways, key=lambda places: _rightness(_facts(expected, predicted, places)))


def open_values(
    expected: Mapping[str, Any], predicted: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    """What the picture shows of everything that the prompt leaves open, by kind.

    One entry for each open attribute, so up to two colours; None where the picture does not tell,
    because the object is not in it. Only facts that every picture of the prompt has are open: a
    second object that the prompt does not name has none. A prompt of two objects states the count.
    """
    places = match_objects(expected, predicted)
    objects = expected["objects"]
    seen = [None if place is None else predicted["objects"][place] for place in places]
    # An object of another shape is not the one that the prompt speaks of.
    shown = [
        found if found and stated.get("shape") in (None, found.get("shape")) else None
        for stated, found in zip(objects, seen, strict=True)
    ]
    found: dict[str, tuple[Any, ...]] = {
        kind: tuple(
            item.get(kind) if item else None
            for stated, item in zip(objects, shown, strict=True)
            if stated.get(kind) is None
        )
        for kind in ATTRIBUTES
    }
    if expected.get("background") is None:
        found["background"] = (predicted.get("background"),)
    if expected.get("relation") is None and len(objects) == 2:
        both_shown = None not in shown
        found["relation"] = (_relation(predicted.get("relation"), places) if both_shown else None,)
    if expected.get("count") is None and len(objects) == 1:
        found["count"] = (len(predicted["objects"]),)
    return {kind: values for kind, values in found.items() if values}


def _assignments(wanted: int, found: int) -> Iterator[tuple[int | None, ...]]:
    """All one-to-one maps that leave as few wanted objects as possible without a counterpart."""
    places: list[int | None] = [*range(found), *[None] * max(0, wanted - found)]
    yield from dict.fromkeys(itertools.permutations(places, wanted))


def _facts(
    expected: Mapping[str, Any], predicted: Mapping[str, Any], places: Sequence[int | None]
) -> dict[str, list[bool]]:
    """For each kind whether each stated fact of it is right."""
    objects = expected["objects"]
    facts: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for stated, place in zip(objects, places, strict=True):
        seen: Mapping[str, Any] = {} if place is None else predicted["objects"][place]
        for attribute in ATTRIBUTES:
            if stated.get(attribute) is not None:
                facts[attribute].append(stated[attribute] == seen.get(attribute))
    if expected.get("background") is not None:
        facts["background"].append(expected["background"] == predicted.get("background"))
    if expected.get("relation") is not None:
        seen_relation = _relation(predicted.get("relation"), places)
        facts["relation"].append(expected["relation"] == seen_relation)
    count = expected.get("count") or (2 if len(objects) == 2 else None)
    if count is not None:
        facts["count"].append(count == len(predicted["objects"]))
    return facts


def _relation(seen: str | None, places: Sequence[int | None]) -> str | None:
    """The picture's relation of the prompt's first object to its second, under this assignment."""
    if seen is None or len(places) < 2 or None in places:
        return None
    first, second = places[0], places[1]
    assert first is not None
    assert second is not None
    return seen if first < second else INVERSE.get(seen)


def _rightness(facts: Mapping[str, Sequence[bool]]) -> tuple[int, ...]:
    """How many facts are right; of as many, the more shapes, then colours, ... the better, so that
    no order of objects matters.
    """
    right = [sum(found) for found in facts.values()]
    return (sum(right), *right)
