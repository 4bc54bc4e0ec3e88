"""The scenes as a suite of prompts, as references and as a folder of captioned images."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

from gandiff.experiments.data.captioned import FileImages, SceneImages
from gandiff.experiments.scenes import suite as scenes_suite
from gandiff.experiments.scenes.captions import caption_facts, captions, facts_of
from gandiff.experiments.scenes.facts import HELD_OUT_COLOUR, fits, sample_scenes, scene_seeds
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import reference_scenes, scene_suite, training_batch


@pytest.fixture(scope="module")
def prompts() -> list[dict[str, object]]:
    return scene_suite("test", 1000)


@pytest.mark.parametrize("n", [0, 1, 7, 128, 250, 256, 257, 999])
def test_a_longer_suite_begins_with_the_shorter(prompts: list[dict[str, object]], n: int) -> None:
    assert scene_suite("test", n) == prompts[:n]


def test_a_suite_does_not_depend_on_how_it_is_made(
    prompts: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes_suite, "_CHUNK", 37)
    assert scene_suite("test", 1000) == prompts


def test_texts_and_ids_are_different(prompts: list[dict[str, object]]) -> None:
    assert len({prompt["text"] for prompt in prompts}) == 1000
    assert len({prompt["id"] for prompt in prompts}) == 1000
    assert prompts[7]["id"] == "test-00007"
    assert json.loads(json.dumps(prompts)) == prompts


def test_every_fifth_prompt_asks_for_a_held_out_pair(prompts: list[dict[str, object]]) -> None:
    for i, prompt in enumerate(prompts):
        held_out = i % 5 == 4
        assert prompt["expected"]["held_out"] is held_out
        assert (prompt["category"] == "held-out pair") is held_out
        assert prompt["tags"] == (["held-out pair"] if held_out else [])


def test_categories_say_what_a_prompt_is_about(prompts: list[dict[str, object]]) -> None:
    counts = Counter(prompt["category"] for prompt in prompts)
    assert set(counts) == {"one object", "two objects", "relation", "held-out pair"}
    assert min(counts.values()) > 50
    for prompt in prompts:
        facts = prompt["expected"]
        if prompt["category"] != "held-out pair":
            number = {"one object": 1, "two objects": 2, "relation": 2}[prompt["category"]]
            assert len(facts["objects"]) == number
            assert (facts["relation"] is not None) is (prompt["category"] == "relation")


def test_splits_ask_for_different_things(prompts: list[dict[str, object]]) -> None:
    texts = {prompt["text"] for prompt in prompts[:128]}
    other = {prompt["text"] for prompt in scene_suite("validation", 128)}
    assert len(texts & other) < 20


def test_too_few_different_prompts_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Eight texts for each kind, over and over: eight usual prompts and two with a held-out pair.
    first = scenes_suite._candidates("test", 0, 8, held_out=False)
    monkeypatch.setattr(scenes_suite, "_candidates", lambda *_, **__: first)
    with pytest.raises(ValueError, match="there are only 10 different prompts in the split 'test'"):
        scene_suite("test", 50)


def test_references_are_made_like_the_prompts() -> None:
    scenes = reference_scenes(50)
    there = scenes.shape >= 0
    held = (there & (scenes.colour == HELD_OUT_COLOUR[np.maximum(scenes.shape, 0)])).any(1)
    assert held.tolist() == [i % 5 == 4 for i in range(50)]
    np.testing.assert_array_equal(reference_scenes(10, start=20).centre, scenes.centre[20:30])


def test_a_training_batch_belongs_together() -> None:
    seeds = scene_seeds("train", 5, 6)
    batch = training_batch(seeds, 16, variant=2)
    np.testing.assert_array_equal(batch.images, render(sample_scenes(seeds), 16))
    assert fits(batch.facts, batch.scenes).all()
    assert batch.captions == captions(caption_facts(batch.scenes, seeds, 2), seeds, 2)


def test_scenes_in_a_folder_are_read_as_they_were_drawn(tmp_path: Path) -> None:
    batch = SceneImages(resolution=16).batch(0, 5)
    toys.save_captioned(tmp_path / "set", batch.images, batch.captions)
    listing = (tmp_path / "set" / "metadata.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in listing.splitlines()]
    assert [set(row) for row in rows] == [{"file_name", "text"}] * 5
    assert [row["text"] for row in rows] == batch.captions
    for row, wanted in zip(rows, batch.images, strict=True):
        with Image.open(tmp_path / "set" / row["file_name"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), wanted)
    read = FileImages(tmp_path / "set", 16)
    shown = read.batch(0, 5)
    for image, caption in zip(shown.images, shown.captions, strict=True):
        np.testing.assert_array_equal(image, batch.images[batch.captions.index(caption)])
    assert read.captions(99) == batch.captions


def test_expected_facts_are_those_of_a_scene_of_the_split(
    prompts: list[dict[str, object]],
) -> None:
    """Each prompt was written for a scene that exists: one of the first of its split."""
    usual, held = (
        sample_scenes(scene_seeds("test", 0, 1000, held_out=flag)) for flag in (False, True)
    )
    for i, prompt in enumerate(prompts[:100]):
        facts = facts_of(prompt["expected"])[np.zeros(1000, np.int64)]
        assert fits(facts, held if i % 5 == 4 else usual).any()
