"""Pieces of the trainings: targets, degraded pictures, contrast, cards, and the shipped judges."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ruamel.yaml import YAML

from gandiff.evaluate.extractors.scenes import PRETRAINED, heads_of, load_classifier
from gandiff.experiments.scenes.captions import caption_facts
from gandiff.experiments.scenes.facts import LABELS, Facts, sample_scenes, scene_seeds
from gandiff.experiments.scenes.suite import training_batch
from gandiff.experiments.training.cards import (
    GAN_USE,
    generator_card,
    judge_card,
    pipeline_use,
    with_scores,
)
from gandiff.experiments.training.judges import scene_clip, shared
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.targets import fact_classes, fact_targets

SEEDS = scene_seeds("judge_train", 0, 2000)


def test_judges_learn_every_class_of_their_heads() -> None:
    scenes = sample_scenes(SEEDS)
    heads = heads_of(LABELS)
    wanted = shared.targets(scenes)
    assert set(wanted) == set(heads)
    for name, values in wanted.items():
        never = {0} if name == "shape_1" else set()  # in canonical order nothing is before it
        assert set(values.tolist()) == set(range(heads[name])) - never, name
    one = scenes.count == 1
    assert (wanted["relation"][one] == heads["relation"] - 1).all()
    assert (wanted["shape_1"][one] == heads["shape_1"] - 1).all()
    assert (wanted["relation"][~one] < heads["relation"] - 1).all()


def test_the_text_encoder_learns_every_fact() -> None:
    facts = caption_facts(sample_scenes(SEEDS), SEEDS)
    wanted, sizes = fact_targets(facts), fact_classes()
    assert set(wanted) == set(sizes)
    for name, values in wanted.items():
        assert values.min() >= 0
        assert values.max() < sizes[name]
    assert set(wanted["count"].tolist()) == {0, 1, 2}
    # Different facts are different targets.
    columns = torch.stack(list(wanted.values()), 1)
    rows = np.concatenate(
        [getattr(facts, f.name).reshape(len(facts), -1) for f in dataclasses.fields(Facts)], 1
    )
    assert len(columns.unique(dim=0)) == len(np.unique(rows, axis=0))


@pytest.mark.parametrize(
    ("place", "axis", "first"),
    [("left", 0, True), ("right", 0, False), ("top", 1, True), ("bottom", 1, False)],
)
def test_the_text_encoder_learns_what_stands_where_in_the_picture(
    place: str, axis: int, first: bool
) -> None:
    scenes = sample_scenes(SEEDS)
    facts = caption_facts(scenes, SEEDS)
    wanted = fact_targets(facts)[f"shape_{place}"].numpy()
    along = np.isin(facts.relation, (0, 1) if axis == 0 else (2, 3))
    assert ((wanted > 0) == along).all()
    assert along.sum() > 100
    ends = scenes.centre[:, :, axis].argmin(1) if first else scenes.centre[:, :, axis].argmax(1)
    there = np.take_along_axis(scenes.shape, ends[:, None], 1)[:, 0]
    assert (wanted[along] == there[along] + 1).all()


def test_half_of_the_pictures_are_spoiled() -> None:
    x = torch.rand(400, 3, 32, 32) * 2 - 1
    degraded = shared.degrade(x, torch.Generator().manual_seed(0))
    assert degraded.shape == x.shape
    assert degraded.abs().max() <= 1
    changed = (degraded != x).flatten(1).any(1).float().mean()
    assert 0.4 < changed < 0.6
    again = shared.degrade(x, torch.Generator().manual_seed(0))
    assert torch.equal(again, degraded)


def test_judges_have_seeds_and_folders_of_their_own() -> None:
    asked = TrainingRequest(out=Path("out"), minutes=30.0, seed=5)
    parts = [judges.part_of(asked, name) for name in ("a", "b", "clip")]
    assert sum(part.minutes for part in parts) == pytest.approx(30)
    assert len({part.out for part in parts}) == len({part.seed for part in parts}) == 3
    stretches = [
        shared.judge_seeds("judge_train", seed, 0, 1)[0] // (1 << 24)
        for seed in (part.seed for part in parts)
    ]
    assert len(set(stretches)) == 3


def test_contrastive_loss_is_symmetric_and_wants_the_diagonal() -> None:
    image, words = torch.randn(5, 8), torch.randn(5, 8)
    scale = torch.tensor(7.0)
    found = scene_clip.contrastive(image, words, scale)
    torch.testing.assert_close(found, scene_clip.contrastive(words, image, scale))
    torch.testing.assert_close(found, scene_clip.contrastive(3 * image, words, scale))
    cosines = 7 * F.normalize(image, dim=1) @ F.normalize(words, dim=1).T
    rows = sum(-math.log(cosines[i].softmax(0)[i]) for i in range(5)) / 5
    columns = sum(-math.log(cosines[:, i].softmax(0)[i]) for i in range(5)) / 5
    assert found.item() == pytest.approx((rows + columns) / 2, rel=1e-5)
    assert scene_clip.contrastive(torch.eye(5), torch.eye(5), torch.tensor(50.0)) < 1e-6


RECORD: dict[str, Any] = {
    **{"command": "gandiff train gan", "data": "scenes", "seed": 3, "seconds": 90.0},
    **{"images": 12_000, "steps": 375, "batch_size": 32, "device": "cpu", "resolution": 32},
    **{"threads": 2, "cpu": "a processor", "validation": {"all": 0.98765}},
}


def test_cards_tell_the_record() -> None:
    for card in (judge_card("a-judge", RECORD), generator_card("a-gan", "A summary.", RECORD)):
        assert card.startswith("---\nlicense: apache-2.0\n")
        for fact in ("`gandiff train gan`", "Seed: 3", "1.5 minutes", "12,000 in 375 steps"):
            assert fact in card
    assert "| all | 0.9877 |" in judge_card("a-judge", RECORD)
    assert "A summary." in generator_card("a-gan", "A summary.", RECORD)


def test_a_card_counts_images_and_steps_of_each_network() -> None:
    before = {"seconds": 30.0, "images": 4_000, "steps": 125}
    record = {**RECORD, "batch_size": 64, "steps": 250, "autoencoder": before}
    card = generator_card("a-model", "A summary.", record)
    assert (
        "- Images shown to the autoencoder: 4,000 in 125 steps, batch 32, in 0.5 minutes\n"
        "- Images shown to the denoiser: 8,000 in 125 steps, batch 64, in 1.0 minutes\n"
    ) in card
    assert "Images shown:" not in card
    for none in ({}, None, {"seconds": 1.0}, {"seconds": 1.0, "images": 12_000, "steps": 250}):
        assert "12,000 in 375 steps, batch 32" in generator_card(
            "a-model", "A summary.", {**RECORD, "autoencoder": none}
        )


def test_a_card_names_the_machine() -> None:
    given = {**RECORD, "device": "cuda", "gpu": "a card"}
    assert "on cpu (2 threads, a processor)" in generator_card("a-gan", "A summary.", RECORD)
    several = generator_card("a-gan", "A summary.", {**RECORD, "processes": 2, "threads": 1})
    assert "on cpu (2 processes of 1 thread, a processor)" in several
    assert "on cuda (a card)" in generator_card("a-gan", "A summary.", given)


def test_a_card_says_what_is_known_and_no_more() -> None:
    scenes = generator_card("a-gan", "A summary.", RECORD)
    photos = generator_card("a-gan", "A summary.", {**RECORD, "data": "photos"})
    given = generator_card("a-gan", "A summary.", {**RECORD, "text": {"source": "a/t5"}})
    assert photos.startswith("---\nlibrary_name: gandiff\n")
    assert [("icense" in card) for card in (scenes, photos, given)] == [True, False, False]
    assert [("held-out" in card) for card in (scenes, photos)] == [True, False]
    assert [("`a/t5`" in card) for card in (scenes, given)] == [False, True]
    for card in (scenes, photos, given, judge_card("a-judge", RECORD)):
        assert "other work" not in card
        assert "shipped weights" not in card
    for card in (scenes, photos):
        assert "`gandiff run FILE`" in card
        assert "validation captions" not in card
        assert YAML().load(card.split("---")[1])["library_name"] == "gandiff"


def test_a_card_has_what_the_last_tick_measured() -> None:
    ticks = [{"all": 0.1, "fd": 900.0}, {"all": 0.91234, "shape": 0.9, "fd": 80.04}]
    card = generator_card("a-gan", "A summary.", {**RECORD, "ticks": ticks})
    assert "On validation captions at the end of the training: all 0.912, fd 80.\n" in card


def test_the_card_of_a_best_tick_has_what_that_tick_measured() -> None:
    record = {**RECORD, "ticks": [{"all": 0.9}], "best": {"score": 0.7, "all": 0.95}}
    card = generator_card("a-gan", "A summary.", record)
    assert "On validation captions at this tick: all 0.95.\n" in card


@pytest.mark.parametrize(
    ("use", "name"), [(GAN_USE, "TextToImageGan"), (pipeline_use(10, 2.0), "Pipeline")]
)
def test_a_card_shows_how_the_model_is_called(use: str, name: str) -> None:
    card = generator_card("a-gan", "A summary.", RECORD, use)
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert f"{name}.from_pretrained(" in code


def test_scores_take_their_place_on_a_card() -> None:
    card = generator_card("a-gan", "A summary.", RECORD)
    scores = {
        "suite": {"prompts": 2000},
        "samples_per_prompt": 2,
        "generators": {
            "gan": {
                "metrics": {
                    "fd(encoder=scenes)": {"value": 81.6, "low": 58.6, "high": 104.6},
                    "nfe": {"value": 1.0, "low": None, "high": None},
                }
            }
        },
        "perfect": {"fd(encoder=scenes)": {"value": 24.93}, "nfe": {"value": 1.0}},
    }
    written = with_scores(card, scores)
    assert "| `fd(encoder=scenes)` | 81.6 [58.6, 104.6] | 24.93 |\n| `nfe` | 1 |  |\n" in written
    assert "2,000 test prompts, 2 pictures of each" in written
    assert (written.partition("## Scores")[0], written.partition("\n## Use")[2]) == (
        card.partition("## Scores")[0],
        card.partition("\n## Use")[2],
    )
    assert with_scores(written, scores) == written


def test_a_card_has_the_command_of_each_start() -> None:
    later = {"command": "gandiff train gan --resume", "images": 7_000, "seconds": 60.0}
    first = {"command": "gandiff train gan", "images": 0, "seconds": 0.0}
    card = generator_card("a-gan", "A summary.", {**RECORD, "commands": [first, later]})
    assert "- Command: `gandiff train gan`\n" in card
    assert "- From 7,000 images on: `gandiff train gan --resume`\n" in card


@pytest.mark.parametrize("name", ["a", "b"])
def test_shipped_judges_read_clean_scenes(name: str) -> None:
    if not (PRETRAINED / f"scene-classifier-{name}" / "model.safetensors").is_file():
        pytest.skip("the judges are not there")
    batch = training_batch(scene_seeds("judge_validation", 1 << 35, 400), 32)
    found = load_classifier(name).predict(batch.images)
    right = [
        scene["count"] == count and [o["shape"] for o in scene["objects"]] == shapes
        for scene, count, shapes in zip(
            found,
            batch.scenes.count.tolist(),
            [[LABELS["shape"][s] for s in row if s >= 0] for row in batch.scenes.shape],
            strict=True,
        )
    ]
    assert np.mean(right) > 0.97
    backgrounds = [LABELS["background"][b] for b in batch.scenes.background]
    assert [scene["background"] for scene in found] == backgrounds
