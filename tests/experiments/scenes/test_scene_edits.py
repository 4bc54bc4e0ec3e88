"""Edits of scenes: that they change what they say, where they say, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_helpers import read

from gandiff.evaluate.extractors.scenes import load_classifier
from gandiff.evaluate.numerics.matching import judge_facts
from gandiff.experiments.prompts.suites import prompt_from_dict
from gandiff.experiments.scenes.captions import expected, facts_of
from gandiff.experiments.scenes.changes import Change, change
from gandiff.experiments.scenes.edit_words import edit_words
from gandiff.experiments.scenes.edits import (
    EDIT_KINDS,
    Edit,
    edit_margin,
    edit_pictures,
    edit_suite,
)
from gandiff.experiments.scenes.facts import (
    HELD_OUT_PAIRS,
    LABELS,
    RELATIONS,
    SPLITS,
    Scenes,
    fits,
    held_out_objects,
    sample_scenes,
    scene_seeds,
)
from gandiff.experiments.scenes.maps import is_covered, object_masks
from gandiff.experiments.scenes.render import render

INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
OF_OBJECTS = ("shape", "colour", "size", "centre", "radius", "object_jitter")
GENERATOR_SPLITS = ("train", "validation", "test", "reference")
KINDS, SEEDS = st.sampled_from(EDIT_KINDS), st.integers(0, 1 << 39)
DRAWS = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2)


@pytest.fixture(scope="module")
def edits() -> list[Edit]:
    usual, held_out = (edit_suite("test", n, held_out=h) for n, h in ((150, False), (60, True)))
    return [*usual, *held_out, *edit_suite("judge_validation", 20)]


def made(kind: str, split: str, start: int, u: tuple[float, float], held_out: bool) -> Any:
    """A change of one of the next scenes, with its seed."""
    has_pair = held_out and kind in ("add", "remove", "background")
    seeds = scene_seeds(split, start, 32, held_out=has_pair)
    scenes = sample_scenes(seeds)
    for i in range(32):
        found = change(kind, scenes[i : i + 1], np.array(u), held_out=held_out)
        if found is not None:
            return found, seeds[i : i + 1]
    raise AssertionError(f"no scene of 32 could have a change of the kind {kind}")


def objects_of(scene: Scenes) -> list[dict[str, Any]]:
    """All that is known of each object, by field."""
    return [
        {name: np.asarray(getattr(scene, name))[0, slot].tolist() for name in OF_OBJECTS}
        for slot in range(scene.count[0])
    ]


def relation_by_centres(scene: Scenes) -> str | None:
    """How slot 0 lies to slot 1, seen from where they are."""
    if scene.count[0] == 1:
        return None
    right, down = scene.centre[0, 0] - scene.centre[0, 1]
    if abs(right) > abs(down):
        return "right of" if right > 0 else "left of"
    return "below" if down > 0 else "above"


@settings(max_examples=80)
@given(
    kind=KINDS,
    split=st.sampled_from(GENERATOR_SPLITS),
    start=SEEDS,
    u=DRAWS,
    held_out=st.booleans(),
)
def test_an_edit_changes_one_thing(
    kind: str, split: str, start: int, u: tuple[float, float], held_out: bool
) -> None:
    found, _ = made(kind, split, start, u, held_out)
    source, target, source_slot, target_slot = found
    old, new = objects_of(source), objects_of(target)
    if kind == "background":
        assert source.background != target.background
        assert old == new
    else:
        assert source.background == target.background
    assert (source.background_jitter == target.background_jitter).all()
    if kind in ("recolour", "reshape"):
        name = {"recolour": "colour", "reshape": "shape"}[kind]
        before, after = old.pop(source_slot), new.pop(target_slot)
        assert before.pop(name) != after.pop(name)
        assert before == after
    if kind == "remove":
        old.pop(source_slot)
        assert target.shape[0, target_slot] == -1
    if kind == "add":
        new.pop(target_slot)
        assert source.shape[0, source_slot] == -1
    assert old == new
    for scene in (source, target):
        assert_canonical(scene)


def assert_canonical(scene: Scenes) -> None:
    """One or two objects of different shapes in order, in the relation that is stated."""
    relation = RELATIONS[scene.relation[0]] if scene.count[0] == 2 else None
    assert relation == relation_by_centres(scene)
    assert (scene.relation[0] == -1) == (scene.count[0] == 1)
    there = [int(shape) for shape in scene.shape[0] if shape >= 0]
    assert there == sorted(set(there))
    assert len(there) == scene.count[0]
    for name in ("colour", "size"):
        assert ((getattr(scene, name)[0] >= 0) == (scene.shape[0] >= 0)).all()


@settings(max_examples=80)
@given(kind=KINDS, split=st.sampled_from(SPLITS), start=SEEDS, u=DRAWS, held_out=st.booleans())
def test_held_out_pairs_are_made_when_asked_for(
    kind: str, split: str, start: int, u: tuple[float, float], held_out: bool
) -> None:
    (source, target, source_slot, target_slot), seed = made(kind, split, start, u, held_out)
    had, has = (held_out_objects(scene)[0] for scene in (source, target))
    assert has.any() == held_out
    makes_one = kind in ("recolour", "reshape", "add")
    assert had.any() == (held_out and not makes_one)
    if held_out and makes_one:
        assert has[target_slot]
    words = edit_words(kind, Change(source, target, source_slot, target_slot), seed)
    assert expected(words.after, 0)["held_out"] == held_out


@settings(max_examples=80)
@given(kind=KINDS, split=st.sampled_from(SPLITS), start=SEEDS, u=DRAWS, held_out=st.booleans())
def test_captions_fit_their_own_scene_and_not_the_other(
    kind: str, split: str, start: int, u: tuple[float, float], held_out: bool
) -> None:
    found, seed = made(kind, split, start, u, held_out)
    words = edit_words(kind, found, seed)
    for facts, text, scene, other in (
        (words.before, words.caption_before, found.source, found.target),
        (words.after, words.caption_after, found.target, found.source),
    ):
        assert fits(facts, scene).all()
        assert not fits(facts, other).any()
        stated = expected(facts, 0)
        assert expected(facts_of(read(text)), 0) == stated, text
        assert all(one["shape"] and one["colour"] for one in stated["objects"])
        assert (stated["relation"] is None) == (scene.count[0] == 1)


def truth(scene: Scenes) -> dict[str, Any]:
    """Everything about a scene, in the form of a judge's prediction."""
    objects = [
        {kind: LABELS[kind][getattr(scene, kind)[0, slot]] for kind in ("shape", "colour", "size")}
        for slot in range(scene.count[0])
    ]
    background, count = LABELS["background"][scene.background[0]], int(scene.count[0])
    return {
        "objects": objects,
        "relation": relation_by_centres(scene),
        "background": background,
        "count": count,
    }


@settings(max_examples=80)
@given(kind=KINDS, start=SEEDS, u=DRAWS, held_out=st.booleans())
def test_changed_and_kept_facts_are_those_of_the_scenes(
    kind: str, start: int, u: tuple[float, float], held_out: bool
) -> None:
    found, seed = made(kind, "test", start, u, held_out)
    words = edit_words(kind, found, seed)
    before, after = truth(found.source), truth(found.target)
    assert judge_facts(words.changed, after)["all"] == 1
    assert judge_facts(words.kept, after)["all"] == 1
    assert judge_facts(words.changed, before)["all"] == 0
    assert judge_facts(words.kept, before)["all"] == 1
    if kind == "remove":  # the other one is not what was to go
        (removed,) = (one for one in before["objects"] if one not in after["objects"])
        assert judge_facts(words.changed, after | {"objects": [removed]})["all"] == 0
    for name in ("relation", "background"):
        both = {words.changed[name], words.kept[name]} - {None}
        assert both == {after[name]} - {None}
    for facts in (words.changed, words.kept):
        pairs = {(one["shape"], one["colour"]) for one in facts["objects"]}
        assert facts["held_out"] == bool(pairs & set(HELD_OUT_PAIRS))


TURN = re.compile(r"turn the (\w+) (\w+) into (an?) (\w+) (\w+)")
PUT = re.compile(r"put (an?) (small|large) (\w+) (\w+) (left of|right of|above|below) the (.+)")


@settings(max_examples=80)
@given(kind=KINDS, start=SEEDS, u=DRAWS)
def test_an_instruction_says_what_is_done(kind: str, start: int, u: tuple[float, float]) -> None:
    found, seed = made(kind, "test", start, u, False)
    text = edit_words(kind, found, seed).instruction
    before, after = truth(found.source), truth(found.target)
    names = [[f"{o['colour']} {o['shape']}" for o in facts["objects"]] for facts in (before, after)]
    if kind in ("recolour", "reshape"):
        match = TURN.fullmatch(text)
        assert match is not None, text
        (gone,), (new,) = (set(a) - set(b) for a, b in (names, names[::-1]))
        assert (f"{match[1]} {match[2]}", f"{match[4]} {match[5]}") == (gone, new)
        assert (match[3] == "an") == (new[0] in "aeiou")
    elif kind == "add":
        match = PUT.fullmatch(text)
        assert match is not None, text
        (new,), (stays,) = set(names[1]) - set(names[0]), names[0]
        assert (f"{match[3]} {match[4]}", match[6]) == (new, stays)
        place = names[1].index(new)
        assert match[2] == after["objects"][place]["size"]
        relation = after["relation"] if place == 0 else INVERSE[after["relation"]]
        assert match[5] == relation
    elif kind == "remove":
        (gone,) = set(names[0]) - set(names[1])
        assert text == f"remove the {gone}"
    else:
        assert text == f"make the background {after['background']}"


@pytest.mark.parametrize("side", [8, 20, 32, 64])
def test_outside_of_the_mask_nothing_changes(edits: list[Edit], side: int) -> None:
    for edit in edits:
        drawn = edit_pictures(edit, side)
        differs = (drawn.source != drawn.target).any(2)
        values = set(np.unique(drawn.mask).tolist())
        assert values == {0, 255} if side >= 32 else values <= {0, 255}
        assert (drawn.keep == 255 - drawn.mask).all()
        assert not differs[drawn.mask == 0].any(), edit.id
        assert (drawn.source == render(edit.change.source, side)[0]).all()
        assert (drawn.target == render(edit.change.target, side)[0]).all()


@pytest.mark.parametrize("side", [32, 64])
def test_what_the_edit_is_about_changes_and_lies_in_the_mask(edits: list[Edit], side: int) -> None:
    for edit in edits:
        source, target, source_slot, target_slot = edit.change
        drawn = edit_pictures(edit, side)
        differs = (drawn.source != drawn.target).any(2)
        before, after = (is_covered(object_masks(s, side)[0]) for s in (source, target))
        if edit.kind == "background":
            assert (differs == (drawn.mask > 0))[~before.any(0)].all()
            assert not (drawn.mask > 0)[object_masks(source, side)[0].max(0) == 1].any()
            continue
        old, new = before[source_slot], after[target_slot]
        changes = old ^ new if edit.kind == "reshape" else old | new
        assert differs[changes].all(), edit.id
        assert changes.any()
        assert drawn.mask[old | new].min() == 255
        # A margin, but none where the other object is.
        other = object_masks(source, side)[0, 1 - source_slot] > 0
        assert 2 <= edit_margin(side) <= side / 8
        assert (drawn.mask > 0).sum() > 1.2 * (old | new).sum()
        assert not (drawn.mask > 0)[other & ~old & ~new].sum() > 0.05 * other.sum()


def test_masks_scale_with_the_resolution(edits: list[Edit]) -> None:
    assert [edit_margin(side) for side in (8, 32, 64, 512)] == [2.0, 2.0, 4.0, 32.0]
    for edit in edits[:25]:
        small, large = (edit_pictures(edit, side).mask > 0 for side in (32, 128))
        share = large.reshape(32, 4, 32, 4).mean((1, 3))
        assert np.abs(share - small).mean() < 0.06
    with pytest.raises(ValueError, match="at least 8 px, got a resolution of 4"):
        edit_pictures(edits[0], 4)


def shrunk(scenes: Scenes) -> Scenes:
    """The scenes in the central half of each side."""
    return dataclasses.replace(
        scenes, centre=0.25 + 0.5 * scenes.centre, radius=0.5 * scenes.radius
    )


def alone(scene: Scenes, slot: int) -> np.ndarray:
    """How much of each pixel an object would cover were it alone, in a picture twice as wide."""
    shape = scene.shape.copy()
    shape[:, 1 - slot] = -1
    return object_masks(dataclasses.replace(shrunk(scene), shape=shape), 128)[0, slot]


def test_objects_stay_inside_and_apart(edits: list[Edit]) -> None:
    for edit in edits:
        for scene in (edit.change.source, edit.change.target):
            masks = [alone(scene, slot) for slot in range(scene.count[0])]
            for mask in masks:
                assert mask[32:-32, 32:-32].sum() > 0.99 * mask.sum(), edit.id
            if len(masks) == 2:
                overlap = np.minimum(*masks).sum()
                assert overlap < 0.01 * min(mask.sum() for mask in masks), edit.id


def test_the_judge_sees_edits_in_targets_and_not_in_sources(edits: list[Edit]) -> None:
    judge = load_classifier("a")
    chosen = [edit for edit in edits if not edit.id.startswith("judge")]
    pictures = [edit_pictures(edit) for edit in chosen]
    seen = judge.predict(np.stack([p.target for p in pictures]))
    unchanged = judge.predict(np.stack([p.source for p in pictures]))

    def share(facts: Sequence[Any], predicted: Sequence[Any]) -> float:
        pairs = zip(facts, predicted, strict=True)
        return float(np.mean([judge_facts(f, p)["all"] for f, p in pairs]))

    changed, kept = ([getattr(e.words, name) for e in chosen] for name in ("changed", "kept"))
    assert share(changed, seen) >= 0.97
    assert share(kept, seen) >= 0.97
    assert share([e.to_dict()["expected"] for e in chosen], seen) >= 0.97
    assert share([e.to_dict()["edit"]["expected_before"] for e in chosen], unchanged) >= 0.97
    assert share(changed, unchanged) <= 0.03


@pytest.mark.parametrize("n", [0, 1, 7, 64, 149])
def test_a_longer_suite_begins_with_the_shorter(edits: list[Edit], n: int) -> None:
    again = [edit.to_dict() for edit in edit_suite("test", n)]
    assert again == [edit.to_dict() for edit in edits[:n]]


def test_an_edit_does_not_depend_on_what_other_kinds_there_are(edits: list[Edit]) -> None:
    by_id = {edit.id: edit.to_dict() for edit in edits}
    few = edit_suite("test", 20, kinds=("background", "add"))
    assert [edit.kind for edit in few] == ["background", "add"] * 10
    assert all(by_id[edit.id] == edit.to_dict() for edit in few)
    assert [edit.kind for edit in edits[:10]] == [*EDIT_KINDS, *EDIT_KINDS]


def test_kinds_begin_with_the_same_scenes(edits: list[Edit]) -> None:
    sources = {edit.id[5:]: render(edit.change.source).tobytes() for edit in edits[:150]}
    for i in range(30):
        assert len({sources[f"{k}-{i:05d}"] for k in ("recolour", "reshape", "background")}) == 1
    removed = [sources[f"remove-{i:05d}"] for i in range(15)]
    shared = [sources[f"recolour-{i:05d}"] for i in range(30)]
    assert len(set(removed) & set(shared)) > 8


def test_an_edit_is_a_row_of_a_suite(edits: list[Edit]) -> None:
    rows = [edit.to_dict() for edit in edits]
    assert json.loads(json.dumps(rows)) == rows
    assert len({row["id"] for row in rows}) == len(rows)
    for edit, row in zip(edits, rows, strict=True):
        prompt = prompt_from_dict(row)
        assert prompt.edit == row["edit"]
        assert prompt.category == edit.kind
        assert prompt.tags == (("held-out pair",) if edit.held_out else ())
    assert rows[6]["id"] == "test-reshape-00001"
    assert rows[151]["id"] == "test-reshape-held-out-00000"


def test_what_is_no_edit_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of edit is named 'recolor'; did you mean 'reco"):
        edit_suite("test", 1, kinds=("recolor",))
    with pytest.raises(ValueError, match="there must be a kind of edit; there are recolour, resh"):
        edit_suite("test", 1, kinds=())
    with pytest.raises(ValueError, match="must be given once, got 'add' twice"):
        edit_suite("test", 1, kinds=("add", "remove", "add"))
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        edit_suite("test", -1)
    with pytest.raises(ValueError, match="no split named 'tset'"):
        edit_suite("tset", 1)
