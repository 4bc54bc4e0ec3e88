"""Captions: that they say what they state, and that what they leave open is known exactly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scene_helpers import read, unstated_distribution

from gandiff.experiments.scenes.captions import (
    caption_facts,
    captions,
    expected,
    facts_of,
    matching_scenes,
    p_two_objects,
)
from gandiff.experiments.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOUR,
    LABELS,
    RELATIONS,
    SIZES,
    Facts,
    Scenes,
    fits,
    sample_scenes,
    scene_seeds,
)
from gandiff.experiments.scenes.mismatches import mismatched
from gandiff.experiments.scenes.suite import scene_suite

N = 30_000
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def equal(a: Facts, b: Facts) -> bool:
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Facts)
    )


def repeated(facts: Facts, n: int) -> Facts:
    return facts[np.zeros(n, np.int64)]


@pytest.fixture(scope="module")
def seeds() -> np.ndarray:
    return scene_seeds("train", 0, N)


@pytest.fixture(scope="module")
def scenes(seeds: np.ndarray) -> Scenes:
    return sample_scenes(seeds)


@pytest.fixture(scope="module")
def facts(scenes: Scenes, seeds: np.ndarray) -> Facts:
    return caption_facts(scenes, seeds)


@pytest.mark.parametrize(("variant", "held_out"), [(0, False), (3, False), (0, True)])
def test_captions_say_what_they_state(variant: int, held_out: bool) -> None:
    seeds = scene_seeds("test", 0, 1500, held_out=held_out)
    facts = caption_facts(sample_scenes(seeds), seeds, variant, say_held_out=held_out)
    for i, text in enumerate(captions(facts, seeds, variant)):
        assert equal(facts_of(read(text)), facts[i : i + 1]), text


def test_captions_depend_on_their_own_seed_and_variant(facts: Facts, seeds: np.ndarray) -> None:
    texts = captions(facts[:50], seeds[:50])
    assert captions(facts[20:21], seeds[20:21])[0] == texts[20]
    other = captions(facts[:50], seeds[:50], variant=1)
    assert sum(a != b for a, b in zip(texts, other, strict=True)) > 10
    for a, b in zip(texts, other, strict=True):
        assert equal(facts_of(read(a)), facts_of(read(b)))


def test_captions_fit_their_own_scene(facts: Facts, scenes: Scenes) -> None:
    assert fits(facts, scenes).all()
    rolled = fits(facts[np.roll(np.arange(N), 1)], scenes)
    assert rolled.mean() < 0.05


def test_captions_leave_things_out_and_say_them(facts: Facts) -> None:
    both = facts.mentions == 2
    for stated in (facts.colour[:, 0], facts.size[:, 0], facts.background, facts.relation[both]):
        assert 0.2 < (stated >= 0).mean() < 0.8
    assert (facts.relation[~both] == -1).all()
    assert (facts.count[both] == 2).all()
    assert set(facts.count[~both].tolist()) == {-1, 1}


def test_held_out_pairs_are_said_when_asked_for() -> None:
    seeds = scene_seeds("test", 0, 500, held_out=True)
    facts = caption_facts(sample_scenes(seeds), seeds, say_held_out=True)
    assert all(expected(facts, i)["held_out"] for i in range(500))


def test_usual_captions_never_say_a_held_out_pair(facts: Facts) -> None:
    assert not any(expected(facts, i)["held_out"] for i in range(2000))


def test_expected_and_facts_of_are_inverse(facts: Facts) -> None:
    for i in range(500):
        found = facts_of(expected(facts, i))
        assert equal(found, facts[i : i + 1])
        assert expected(found, 0) == expected(facts, i)


@pytest.mark.parametrize("relation", [*RELATIONS, None])
def test_told_from_either_side_the_facts_are_the_same(relation: str | None) -> None:
    star = {"shape": "star", "colour": "red", "size": None}
    ring = {"shape": "ring", "colour": None, "size": "large"}
    rest = {"background": None, "count": 2}
    one = facts_of({"objects": [star, ring], "relation": relation, **rest})
    other = facts_of(
        {"objects": [ring, star], "relation": INVERSE[relation] if relation else None, **rest}
    )
    assert equal(one, other)
    assert one.shape[0].tolist() == sorted(one.shape[0])
    if relation is not None:
        turned = facts_of({"objects": [ring, star], "relation": relation, **rest})
        assert not equal(one, turned)


def changes(old: Facts, new: Facts, i: int) -> int:
    """How many facts differ, whichever mention became which."""
    a, b = expected(old, i), expected(new, i)
    orders = [(b["objects"], b["relation"])]
    if len(b["objects"]) == 2:
        orders.append((b["objects"][::-1], INVERSE.get(b["relation"])))
    rest = (a["background"] != b["background"]) + (a["count"] != b["count"])
    return rest + min(
        (a["relation"] != relation)
        + sum(x[key] != y[key] for x, y in zip(a["objects"], objects, strict=True) for key in x)
        for objects, relation in orders
    )


def test_a_mismatch_changes_exactly_one_fact_and_does_not_fit(
    facts: Facts, scenes: Scenes, seeds: np.ndarray
) -> None:
    wrong = mismatched(facts, np.random.default_rng(0))
    assert all(changes(facts, wrong, i) == 1 for i in range(3000))
    for i, text in enumerate(captions(wrong[:500], seeds[:500])):  # still in canonical order
        assert equal(facts_of(read(text)), wrong[i : i + 1]), text
    # The one case: the caption left a second object open, and now names it.
    still = fits(wrong, scenes)
    other = np.where(
        scenes.shape[:, 0] == facts.shape[:, 0], scenes.shape[:, 1], scenes.shape[:, 0]
    )
    allowed = (facts.mentions == 1) & (facts.count < 0) & (scenes.count == 2)
    assert (allowed & (wrong.shape[:, 0] == other))[still].all()
    assert still.mean() < 0.02


def test_a_mismatch_can_change_anything_stated(facts: Facts) -> None:
    wrong = mismatched(facts, np.random.default_rng(1))
    for kind in LABELS:
        old, new = (getattr(f, kind).reshape(N, -1) for f in (facts, wrong))
        assert ((old >= 0) & (old != new)).any(1).mean() > 0.05
        assert np.array_equal(np.sort(old < 0), np.sort(new < 0))
        assert new.max() == len(LABELS[kind]) - 1


def held_out(facts: Facts) -> np.ndarray:
    """Whether a caption states a held-out pair."""
    stated = (facts.shape >= 0) & (facts.colour >= 0)
    return (stated & (facts.colour == HELD_OUT_COLOUR[np.maximum(facts.shape, 0)])).any(1)


def test_a_mismatch_can_keep_away_from_held_out_pairs(facts: Facts, scenes: Scenes) -> None:
    usual = facts[~held_out(facts)]
    drawn = scenes[~held_out(facts)]
    assert held_out(mismatched(usual, np.random.default_rng(2))).mean() > 0.02
    kept = mismatched(usual, np.random.default_rng(2), held_out=False)
    assert not held_out(kept).any()
    assert fits(kept, drawn).mean() < 0.02
    # All else is still made, and nothing much more often than the rest.
    alone = usual.mentions == 1  # two may come in another order
    pairs = np.stack([usual.colour[alone, 0], kept.colour[alone, 0]], 1)
    _, counts = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    assert len(counts) == len(COLOURS) * (len(COLOURS) - 1)
    assert counts.max() < 3 * counts.min()


def test_a_mismatch_leaves_its_argument_alone(facts: Facts) -> None:
    few = facts[:100]
    before = facts[:100][np.arange(100)]
    again = [mismatched(few, np.random.default_rng(5)) for _ in range(2)]
    assert equal(few, before)
    assert equal(*again)


def test_probability_of_a_second_object(facts: Facts, scenes: Scenes) -> None:
    p = p_two_objects(facts)
    for value in np.unique(p):
        rows = p == value
        deviation = np.sqrt(max(value * (1 - value), 1e-12) / rows.sum())
        assert abs((scenes.count[rows] == 2).mean() - value) <= 5 * deviation
    assert len(np.unique(p)) == 3


def of_mention(scenes: Scenes, kind: str, shape: int) -> np.ndarray:
    """An attribute of the object with this shape in each scene."""
    slot = np.where(scenes.shape[:, 0] == shape, 0, 1)
    return np.asarray(getattr(scenes, kind)[np.arange(len(scenes)), slot])


def assert_distribution(
    found: np.ndarray, names: tuple[Any, ...], wanted: dict[str, float]
) -> None:
    """Chi-square within what chance gives; what has probability 0 never occurs."""
    counts = np.bincount(found, minlength=len(names))
    shares = np.array([wanted[str(name)] for name in names])
    assert sum(shares) == pytest.approx(1)
    assert (counts[shares == 0] == 0).all()
    counts, shares = counts[shares > 0], shares[shares > 0] * len(found)
    freedom = max(1, len(shares) - 1)
    assert ((counts - shares) ** 2 / shares).sum() < freedom + 6 * np.sqrt(2 * freedom)


def assert_unstated(scenes: Scenes, facts: Facts, wanted: dict[str, dict[str, float]]) -> None:
    for name, distribution in wanted.items():
        kind, _, mention = name.partition("_")
        if kind == "count":
            assert_distribution(scenes.count - 1, (1, 2), distribution)
        elif mention:
            found = of_mention(scenes, kind, facts.shape[0, int(mention)])
            assert_distribution(found, LABELS[kind], distribution)
        else:
            assert_distribution(getattr(scenes, kind), LABELS[kind], distribution)


PROMPTS = scene_suite("test", 40)


@pytest.mark.parametrize("prompt", PROMPTS, ids=[p["text"].replace(" ", "-") for p in PROMPTS])
def test_matching_scenes_fit_and_follow_what_is_left_open(prompt: dict[str, Any]) -> None:
    facts = facts_of(prompt["expected"])
    scenes = matching_scenes(prompt["expected"], 1500, seed=7)
    assert fits(repeated(facts, 1500), scenes).all()
    assert_unstated(scenes, facts, unstated_distribution(prompt["expected"]))
    again = matching_scenes(prompt["expected"], 1500, seed=7)
    np.testing.assert_array_equal(again.centre, scenes.centre)
    assert not np.array_equal(
        matching_scenes(prompt["expected"], 1500, seed=8).centre, scenes.centre
    )


def test_what_captions_leave_open_is_distributed_as_said(facts: Facts, scenes: Scenes) -> None:
    """Over real scenes whose captions state the same kinds of fact about the same shape."""
    checked = 0
    for shape in range(3):
        rows = (facts.mentions == 1) & (facts.shape[:, 0] == shape) & (facts.count < 0)
        rows &= (facts.colour[:, 0] < 0) & (facts.background < 0) & (facts.size[:, 0] < 0)
        one = facts[np.flatnonzero(rows)[:1]]
        wanted = unstated_distribution(expected(one, 0))
        assert set(wanted) == {"count", "background", "colour_0", "size_0"}
        assert_unstated(scenes[rows], one, wanted)
        checked += int(rows.sum())
    assert checked > 200


def test_a_fully_stated_caption_leaves_nothing_open() -> None:
    star = {"shape": "star", "colour": COLOURS[0], "size": SIZES[0]}
    ring = {"shape": "ring", "colour": COLOURS[1], "size": SIZES[1]}
    full = {"objects": [star, ring], "relation": "above", "background": BACKGROUNDS[0], "count": 2}
    assert unstated_distribution(full) == {}
