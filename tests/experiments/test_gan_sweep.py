"""Sweeps: what each trial trains, what is done again and what goes on, when a value is better."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from training_helpers import read, request

from gandiff.experiments.errors import RequestError
from gandiff.experiments.training import gan
from gandiff.experiments.training.checkpoints import CHECKPOINT, write_checkpoint
from gandiff.experiments.training.gan_recipe import GanRecipe, recipe_of
from gandiff.experiments.training.gan_sweep import Sweep, read_sweep, sweep_recipes
from gandiff.experiments.training.request import TrainingRequest

VALUES = ["0.25", "1", "4"]
COMMAND = "gandiff train gan --minutes 5 --sweep gamma=0.25,1,4"


class FakeTraining:
    """Trains nothing: leaves the records and checkpoints that a training leaves.

    ``calls`` are folder, whether it was to go on, and recipe; the one in ``interrupted`` is broken
    off.
    """

    def __init__(self, scores: Mapping[str, float], measured: str = "all") -> None:
        self.scores, self.measured = scores, measured
        self.interrupted = ""
        self.calls: list[tuple[str, bool, GanRecipe]] = []

    def __call__(self, asked: TrainingRequest, recipe: GanRecipe) -> None:
        value = asked.out.name.partition("=")[2]
        self.calls.append((value, asked.resume, recipe))
        asked.out.mkdir(parents=True, exist_ok=True)
        start = {"command": asked.command, "recipe": dataclasses.asdict(recipe)}
        progress = {"images": 10, "commands": [start]}
        content = {"label": "GAN", "progress": progress, "state": {}}
        write_checkpoint(asked.out / CHECKPOINT, content)
        if self.interrupted == value:
            raise KeyboardInterrupt
        score = self.scores.get(value)
        ticks = [] if score is None else [{"score": score, self.measured: abs(score)}]
        record = start | {"finished": True, "images": 40, "seconds": 60.0, "ticks": ticks}
        (asked.out / "training.json").write_text(json.dumps(record))

    def taken(self) -> list[tuple[str, bool]]:
        """Value and whether it went on, of the calls since this was asked last."""
        found = [(value, resume) for value, resume, _ in self.calls]
        self.calls.clear()
        return found


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining({"0.25": 0.1, "1": 0.5, "4": 0.3})
    monkeypatch.setattr(gan, "train", fake)
    return fake


def sweep(out: Path, command: str = COMMAND, values: list[str] = VALUES, **recipe: Any) -> Sweep:
    asked = request(out, command=command, resume="--resume" in command)
    return sweep_recipes(asked, recipe_of("default", **recipe), "gamma", values)


def test_every_trial_has_its_own_schedule(tmp_path: Path, training: FakeTraining) -> None:
    sweep(tmp_path)
    recipes = [recipe for _, _, recipe in training.calls]
    assert recipes == [recipe_of("default", gamma=float(value)) for value in VALUES]
    assert [one.gamma_end for one in recipes] == pytest.approx([0.075, 0.3, 1.2])


def test_an_end_that_is_set_beside_the_sweep_stays(tmp_path: Path, training: FakeTraining) -> None:
    recipe = recipe_of("default", gamma_end=0.5)
    sweep_recipes(request(tmp_path), recipe, "gamma", VALUES, fixed={"gamma_end"})
    assert [recipe.gamma_end for _, _, recipe in training.calls] == [0.5] * 3


def test_values_that_cannot_work_are_refused_before_training(
    tmp_path: Path, training: FakeTraining
) -> None:
    name, values = read_sweep("loss=relativistic,hinge")
    with pytest.raises(RequestError, match=r"loss must be one of .*, got hinge"):
        sweep_recipes(request(tmp_path), GanRecipe(), name, values)
    assert training.calls == []


def interrupt_second(out: Path, training: FakeTraining) -> None:
    training.interrupted = "1"
    with pytest.raises(KeyboardInterrupt):
        sweep(out)
    training.interrupted = ""
    assert training.taken() == [("0.25", False), ("1", False)]


def test_an_interrupted_sweep_goes_on(tmp_path: Path, training: FakeTraining) -> None:
    interrupt_second(tmp_path, training)
    finished = (tmp_path / "gamma=0.25" / "training.json").read_bytes()
    found = sweep(tmp_path, f"{COMMAND} --resume")
    assert training.taken() == [("1", True), ("4", False)]
    assert (tmp_path / "gamma=0.25" / "training.json").read_bytes() == finished
    assert [trial.last["score"] for trial in found.trials] == [0.1, 0.5, 0.3]
    for command in (COMMAND, f"{COMMAND} --resume"):
        assert sweep(tmp_path, command) == found
    assert training.taken() == []


def test_without_resume_what_is_not_finished_starts_afresh(
    tmp_path: Path, training: FakeTraining
) -> None:
    interrupt_second(tmp_path, training)
    sweep(tmp_path)
    assert training.taken() == [("1", False), ("4", False)]


def test_options_may_be_told_in_another_way(tmp_path: Path, training: FakeTraining) -> None:
    interrupt_second(tmp_path, training)
    told = "gandiff train gan --resume --quiet --sweep gamma=0.25,1,4,16 --minutes=5"
    sweep(tmp_path, told, [*VALUES, "16"])
    assert training.taken() == [("1", True), ("4", False), ("16", False)]


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("gandiff train gan --minutes 10 --sweep gamma=0.25,1,4 --resume", {}),
        (f"{COMMAND} --seed 1 --resume", {}),
        (f"{COMMAND} --resume", {"lr": 0.001}),  # as if the named recipe had changed since
    ],
)
def test_trials_of_another_sweep_are_not_taken_for_this_one(
    tmp_path: Path, training: FakeTraining, command: str, changes: dict[str, Any]
) -> None:
    sweep(tmp_path)
    training.taken()
    sweep(tmp_path, command, **changes)
    assert training.taken() == [(value, False) for value in VALUES]


def test_nothing_to_resume_is_refused(tmp_path: Path, training: FakeTraining) -> None:
    with pytest.raises(
        RequestError, match=r"--resume found no trial of gamma in .*; start without --resume"
    ):
        sweep(tmp_path / "out", f"{COMMAND} --resume")
    assert training.calls == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("measured", "scores", "recommended"),
    [
        ("all", [0.10, 0.50, 0.40], "1"),
        ("all", [0.10, 0.50, 0.49], None),
        ("all", [0.0, 0.0, 0.0], None),
        ("fd", [-30.0, -20.0, -15.0], "4"),
        ("fd", [-30.0, -16.0, -15.0], None),
        ("fd", [-0.0030, -0.0016, -0.0015], None),  # of thumbnails
        ("fd", [-0.0030, -0.0020, -0.0015], "4"),
        ("all", [0.1, 0.5, float("nan")], "1"),
        ("all", [None, None, None], None),
    ],
)
def test_a_value_is_recommended_if_it_leads_by_more_than_chance(
    tmp_path: Path,
    training: FakeTraining,
    measured: str,
    scores: list[float],
    recommended: str | None,
) -> None:
    training.scores, training.measured = dict(zip(VALUES, scores, strict=True)), measured
    found = sweep(tmp_path)
    assert found.recommended == recommended
    said = found.text.splitlines()[4:]
    assert said[0].startswith(
        f"recommended: --set gamma={recommended}" if recommended else "no clear winner: "
    )
    if scores[0] is not None:  # what was needed is told
        kind = "25% of its Fréchet distance" if measured == "fd" else "chance can do on 1000"
        assert kind in said[-1]


def test_a_real_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records and checkpoints are those of real trainings, of a few steps."""
    from gan_helpers import encoder

    from gandiff.experiments.training import gan_watch_files, text
    from gandiff.experiments.training.gan_trainer import GanTrainer
    from gandiff.experiments.training.records import write_json

    monkeypatch.setattr(gan_watch_files, "_REAL", 40)
    first = tmp_path / "gamma=1"
    first.mkdir()
    encoder().save_pretrained(first)
    write_json(first / text.RECORD, {"seconds": 0.0, "images": 0, "validation": {}})
    usual, steps = GanTrainer.step, []

    def step(self: GanTrainer) -> Any:
        steps.append(self.loop.request.out.name)
        self.loop._asked = steps[-1] == "gamma=2"  # as after Ctrl-C
        return usual(self)

    asked = request(tmp_path, resolution=16, kimg=0.012, ticks=1, dtype="float32")
    monkeypatch.setattr(GanTrainer, "step", step)
    with pytest.raises(KeyboardInterrupt):
        sweep_recipes(asked, GanRecipe(), "gamma", ["1", "2", "3"])
    monkeypatch.setattr(GanTrainer, "step", usual)
    assert steps.count("gamma=1") == 3
    weights = (first / "model.safetensors").stat().st_mtime_ns
    sweep_recipes(dataclasses.replace(asked, resume=True), GanRecipe(), "gamma", ["1", "2", "3"])
    assert (first / "model.safetensors").stat().st_mtime_ns == weights
    records = [read(tmp_path / f"gamma={value}") for value in (1, 2, 3)]
    assert [record["resumed"] for record in records] == [0, 1, 0]
    assert [record["images"] for record in records] == [12, 12, 12]
    assert [start["images"] for start in records[1]["commands"]] == [0, 4]
