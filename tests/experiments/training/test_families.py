"""What must hold for trainings of every family: exact resuming, parts and processes that add up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_helpers import coco
from family_helpers import FAMILIES, Family, each_family, train_small, weights
from gan_helpers import run
from training_helpers import read, request, small_diffusion

from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.monitors import files
from gandiff.experiments.training.monitors.base import SEED
from gandiff.experiments.training.ranks import launch

family = each_family


def apart(start: dict[str, Any], one: dict[str, Any], other: dict[str, Any]) -> float:
    """How far two trainings ended from each other, over how far they came."""
    names = [name for name in start if "/" in name and start[name].is_floating_point()]
    distance = sum(float((other[n] - one[n]).square().sum()) for n in names)
    way = sum(float((one[n] - start[n]).square().sum()) for n in names)
    return float((distance / way) ** 0.5)


def test_it_offers_what_ticks_and_sweeps_ask_for(tmp_path: Path, family: Family) -> None:
    one = family.trainer(tmp_path)
    assert isinstance(one, GeneratorTrainer)
    assert FAMILIES[one.recipe.family] is family
    assert "default" in one.recipe.named
    assert one.recipe.checkpoints[0] == CHECKPOINT


def test_it_resumes_bit_for_bit(tmp_path: Path, family: Family) -> None:
    whole = family.trainer(tmp_path / "whole")
    run(whole, 8)
    half = family.trainer(tmp_path / "halves")
    run(half, 3)
    assert any(not torch.equal(v, weights(whole)[k]) for k, v in weights(half).items())
    torch.manual_seed(99)  # nothing that a step draws comes from here
    other = family.trainer(tmp_path / "halves", resume=True)
    assert (other.loop.progress.steps, other.loop.progress.images) == (3, 12)
    torch.manual_seed(99)
    run(other, 5)
    ended, undisturbed = weights(other), weights(whole)
    assert ended.keys() == undisturbed.keys()
    assert [k for k, v in ended.items() if not torch.equal(v, undisturbed[k])] == []
    assert read_checkpoint(tmp_path / "halves" / CHECKPOINT)["progress"]["resumed"] == 1


def test_ticks_leave_the_training_as_it_was(tmp_path: Path, family: Family) -> None:
    """What is sampled and measured between steps draws nothing that a step would draw."""
    plain, measured = (family.trainer(tmp_path / name) for name in ("plain", "measured"))
    run(plain, 4)
    measured.loop.run(measured.step, lambda: look(measured))
    run(plain, 4)
    watched, alone = weights(measured), weights(plain)
    assert [k for k, v in watched.items() if not torch.equal(v, alone[k])] == []


def look(one: GeneratorTrainer) -> tuple[float, dict[str, float]]:
    one.sample(["a star", "a ring"], SEED)
    return 0.0, {"score": 0.0, **one.tick_facts()}


def test_a_batch_in_parts_is_the_batch(tmp_path: Path, family: Family) -> None:
    size = {"batch_size": 8, "kimg": 0.064}
    whole = family.trainer(tmp_path / "whole", **size)
    parts = family.trainer(tmp_path / "parts", **size, accumulate=2)
    start = weights(whole)
    for a, b in zip(run(whole, 4), run(parts, 4), strict=True):
        assert a.keys() == b.keys()
        assert b[family.loss] == pytest.approx(a[family.loss], rel=0.02, abs=0.02)
    # Adam's first steps enlarge what rounding leaves of a gradient near zero.
    assert apart(start, weights(whole), weights(parts)) < 0.05


@pytest.mark.parametrize("name", FAMILIES)
def test_two_processes_train_as_one(tmp_path: Path, name: str) -> None:
    for folder, count in (("one", 1), ("two", 2)):
        launch(train_small, request(tmp_path / folder, kimg=0.032, processes=count), name)
    one, two = (read_checkpoint(tmp_path / folder / CHECKPOINT) for folder in ("one", "two"))
    for counter in ("images", "steps", "skipped"):
        assert one["progress"][counter] == two["progress"][counter]
    start = weights(FAMILIES[name].trainer(tmp_path / "start"))
    ended = [
        {
            f"{part}/{key}": value
            for part, state in saved["state"].items()
            for key, value in state.items()
            if isinstance(value, torch.Tensor)
        }
        for saved in (one, two)
    ]
    known = {key: value for key, value in start.items() if key not in _NOISE}
    assert apart(known, *ended) < 0.1
    logs = [
        {k: v for row in saved["progress"]["curve"] for k, v in row.items() if k != "seconds"}
        for saved in (one, two)
    ]
    assert FAMILIES[name].loss in logs[0]
    assert logs[1] == {k: pytest.approx(v, rel=0.05, abs=0.05) for k, v in logs[0].items()}


_NOISE = {"d/judge.real.bias"}  # a constant that the loss leaves open


def test_a_picture_does_not_depend_on_those_beside_it(tmp_path: Path, family: Family) -> None:
    """Nor on how many are worked on at once; rounding may differ with the size of a batch."""
    one, light = (family.trainer(tmp_path / str(n), batch_size=8, accumulate=n) for n in (1, 4))
    with torch.no_grad():  # what has just begun hardly reads
        for a, b in zip(one.ema.module.parameters(), light.ema.module.parameters(), strict=True):
            a.add_(0.1 * torch.randn(a.shape, generator=torch.Generator().manual_seed(a.numel())))
            b.copy_(a)
    captions = ["a red star"] * 9 + ["a small heart on white"] * 9
    pictures = [each.sample(captions, SEED).astype(int) for each in (one, light)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    others = one.sample(["a blue ring"] * 8 + captions[8:], SEED).astype(int)
    assert np.abs(others[8:] - pictures[0][8:]).max() <= 1
    assert np.abs(one.sample(captions, SEED + 1).astype(int) - pictures[0]).max() > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_coco_captions_train_every_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The whole training through its public function, with TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(files, "_REAL", 20)
    train, recipe, own = {
        "gan": (gan.train, GanRecipe(d_warmup=0.3, g_warmup=0.3), "truncation"),
        "diffusion": (diffusion.train, small_diffusion(), "operating_points"),
    }[name]
    asked = request(
        tmp_path / "out", data=str(coco(tmp_path / "coco", 8)), resolution=16, kimg=0.04
    )
    out = train(dataclasses.replace(asked, tensorboard=True), recipe)
    record = read(out)
    assert record["family"] == name
    assert record["finished"]
    assert record["pictures"]["images"] == 8
    assert {"fd", "precision", "recall"} <= record["ticks"][-1].keys()
    assert {"searched", "median_distance"} <= record["neighbours"].keys()
    assert [row["fd"] for row in record[own]]
    assert (out / "best" / "training.json").is_file()
    assert {"reals.png", "neighbours.png"} < {path.name for path in (out / "samples").iterdir()}
    logged = EventAccumulator(str(out / "tensorboard")).Reload().Tags()["scalars"]
    assert {"score", "fd", FAMILIES[name].loss} <= set(logged)
    before = (out / "best" / "training.json").read_bytes()
    train(dataclasses.replace(asked, resume=True), recipe)  # nothing is left to train
    assert read(out)["images"] == record["images"]
    assert (out / "best" / "training.json").read_bytes() == before
