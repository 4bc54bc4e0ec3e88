"""Sweeps: what each trial trains, what is done again and what goes on, when a value is better."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import sweep_helpers
from PIL import Image
from sweep_helpers import FakeTraining, write_text_encoder
from training_helpers import captioned_folder, little_to_check, read, request

from gandiff.common.errors import Diverged, RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.data.captioned import open_data
from gandiff.experiments.training import trials
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.diffusion.trainer import DiffusionTrainer
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.gan.recipe import GanRecipe, recipe_of
from gandiff.experiments.training.recipes import Recipe
from gandiff.experiments.training.records import TEXT_RECORD
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.sweep import Sweep, read_sweep, sweep_recipes
from gandiff.experiments.training.text.record import KEPT_TEXT, captions_digest

VALUES = ["0.25", "1", "4"]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining({"0.25": 0.1, "1": 0.5, "4": 0.3})
    monkeypatch.setattr(gan, "train", fake)
    return fake


def sweep(
    out: Path, values: list[str] = VALUES, recipe: GanRecipe | None = None, **changes: Any
) -> Sweep:
    """A sweep as from Python, where every command is the same."""
    asked = request(out, **changes)
    return sweep_recipes(asked, recipe or GanRecipe(), "gamma", values)


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
    with pytest.raises(RequestError, match=r"loss: must be one of .*, got 'hinge'"):
        read_sweep(GanRecipe, "loss=relativistic,hinge")
    name, values = read_sweep(GanRecipe, "d_warmup=0.1,0.95")
    with pytest.raises(RequestError, match="must leave a part of the budget"):
        sweep_recipes(request(tmp_path), GanRecipe(), name, values)
    with pytest.raises(RequestError, match="the scene CLIP judges and must not guide"):
        sweep_recipes(request(tmp_path), GanRecipe(), "guidance", ["scenes", "nothing/none"])
    with pytest.raises(RequestError, match="--resolution 48: resolution must be a power of two"):
        sweep(tmp_path, resolution=48)
    assert training.calls == []


@pytest.mark.parametrize("text", ["gamma=1,1", "gamma=1,1.0,1e0", "gamma=1", "gamma=", "gamma"])
def test_less_than_two_different_values_are_no_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], training: FakeTraining, text: str
) -> None:
    assert main(["train", "gan", "--sweep", text, "--out", str(tmp_path)]) == 2
    needed = "expected NAME=VALUE,VALUE,... with at least two different values, such as"
    assert capsys.readouterr().err == f"error: --sweep {text}: {needed} gamma=0.25,1,4\n"
    assert training.calls == []


def test_equal_values_are_tried_once() -> None:
    assert read_sweep(GanRecipe, "gamma=1, 1.0,4,04") == ("gamma", ["1", "4"])


def test_a_trial_that_diverges_loses_and_is_not_repeated(
    tmp_path: Path, training: FakeTraining
) -> None:
    training.diverging = {"0.25", "4"}
    found = sweep(tmp_path)
    assert training.taken() == [(value, False) for value in VALUES]
    assert [(t.diverged, t.score) for t in found.trials] == [
        (True, -math.inf),
        (False, 0.5),
        (True, -math.inf),
    ]
    assert found.recommended == "1"
    lines = found.text.splitlines()
    assert [line.split() for line in (lines[1], lines[3])] == [
        ["0.25", "0.0", "diverged"],
        ["4", "0.0", "diverged"],
    ]
    assert lines[4:6] == ["recommended: --set gamma=1", "no other has a score"]
    assert "inf" not in found.text
    for resume in (False, True):
        assert sweep(tmp_path, resume=resume) == found
    assert training.taken() == []
    training.diverging = set()
    sweep(tmp_path, seed=1)  # another training
    assert len(training.taken()) == 3


def test_a_trial_that_diverges_without_a_checkpoint_loses_too(
    tmp_path: Path, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.diverging = {"4"}
    monkeypatch.setattr(sweep_helpers, "write_checkpoint", lambda *_: None)
    assert [t.diverged for t in sweep(tmp_path).trials] == [False, False, True]


def test_where_all_diverge_there_is_nothing_to_recommend(
    tmp_path: Path, training: FakeTraining
) -> None:
    training.diverging = set(VALUES)
    for trained in (3, 0):
        with pytest.raises(
            RequestError, match=r"diverged with every value of gamma \(0\.25, 1, 4\); sweep other"
        ):
            sweep(tmp_path)
        assert len(training.taken()) == trained


def test_a_text_encoder_that_diverges_ends_the_sweep(
    tmp_path: Path, training: FakeTraining
) -> None:
    """It would do so in every trial."""
    training.diverging, training.reads = set(VALUES), False
    with pytest.raises(Diverged):
        sweep(tmp_path)
    assert len(training.taken()) == 1


def test_all_trials_have_the_text_encoder_of_the_first(
    tmp_path: Path, training: FakeTraining
) -> None:
    for stale in ("gamma=0.125", "gamma=4", "lr=1"):
        write_text_encoder(tmp_path / stale, "of another sweep")
    sweep(tmp_path)
    texts = [(tmp_path / f"gamma={v}" / TEXT_RECORD).read_text() for v in VALUES]
    assert texts == ["made for 0.25"] * 3
    sweep(tmp_path, ["0.5", *VALUES])  # more values, of the same sweep
    assert (tmp_path / "gamma=0.5" / TEXT_RECORD).read_text() == "made for 0.25"


def interrupt_second(out: Path, training: FakeTraining) -> None:
    training.interrupted = "1"
    with pytest.raises(KeyboardInterrupt):
        sweep(out)
    training.interrupted = ""
    assert training.taken() == [("0.25", False), ("1", False)]


def test_a_trial_begins_with_the_text_encoder_as_it_was_before_it_was_trained_along(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "lr=1", tmp_path / "lr=2"
    for folder, said in ((first, "this sweep"), (second, "an earlier sweep")):
        write_text_encoder(folder, said)
        (folder / KEPT_TEXT).mkdir(parents=True)
        (folder / KEPT_TEXT / "weights").write_text(f"of {said}")
        (folder / "text_encoder" / "weights").write_text(f"of {said}, trained along")
    trials._copy_text(first, second)
    assert (second / "text_encoder" / "weights").read_text() == "of this sweep"
    assert not (second / KEPT_TEXT).exists()  # or it would be put in the other one's place
    assert (first / "text_encoder" / "weights").read_text() == "of this sweep, trained along"


def test_an_interrupted_sweep_goes_on(tmp_path: Path, training: FakeTraining) -> None:
    interrupt_second(tmp_path, training)
    finished = (tmp_path / "gamma=0.25" / "training.json").read_bytes()
    found = sweep(tmp_path, resume=True)
    assert training.taken() == [("1", True), ("4", False)]
    assert (tmp_path / "gamma=0.25" / "training.json").read_bytes() == finished
    assert [trial.last["score"] for trial in found.trials] == [0.1, 0.5, 0.3]
    for resume in (False, True):
        assert sweep(tmp_path, resume=resume) == found
    assert training.taken() == []


def test_without_resume_what_is_not_finished_starts_afresh(
    tmp_path: Path, training: FakeTraining
) -> None:
    interrupt_second(tmp_path, training)
    sweep(tmp_path)
    assert training.taken() == [("1", False), ("4", False)]


def test_what_changes_nothing_makes_no_other_trial(tmp_path: Path, training: FakeTraining) -> None:
    interrupt_second(tmp_path, training)
    told = "gandiff train gan --resume --quiet --sweep gamma=0.25,1,4,16 --minutes=5"
    more = [*VALUES, "16"]
    sweep(tmp_path, more, resume=True, command=told, quiet=False, tensorboard=True)
    assert training.taken() == [("1", True), ("4", False), ("16", False)]
    (tmp_path / "elsewhere").mkdir()
    for value in more:
        (tmp_path / f"gamma={value}").rename(tmp_path / "elsewhere" / f"gamma={value}")
    sweep(tmp_path / "elsewhere", more, minutes=0.005)
    assert training.taken() == []
    sweep(tmp_path / "images", kimg=2.0, minutes=3.0)
    training.taken()
    sweep(tmp_path / "images", kimg=2.0, minutes=4.0)  # which is not looked at
    assert training.taken() == []


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"minutes": 0.01},
        {"seed": 1},
        {"resolution": 16},
        {"batch_size": 16},
        {"recipe": recipe_of("default", lr=0.001)},  # as if the named recipe had changed since
    ],
    ids=str,
)
def test_trials_of_another_sweep_are_not_taken_for_this_one(
    tmp_path: Path,
    training: FakeTraining,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    resume: bool,
) -> None:
    sweep(tmp_path)
    training.taken()
    capsys.readouterr()
    sweep(tmp_path, resume=resume, **changes)
    assert training.taken() == [(value, False) for value in VALUES]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert "gamma=4 was asked for with other options or data (gandiff train); it starts" in said[2]


def test_a_sweep_of_other_data_is_another(tmp_path: Path, training: FakeTraining) -> None:
    """The same captions in another folder are the same data."""
    for name, shape in (("stars", "star"), ("copy", "star"), ("rings", "ring")):
        (tmp_path / name).mkdir()
        for i in range(32):
            Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.txt").write_text(f"{i} {shape}s")
    out = tmp_path / "out"
    training.captions = captions_digest(open_data(str(tmp_path / "stars"), 32))
    sweep(out, data=str(tmp_path / "stars"))
    assert len(training.taken()) == 3
    sweep(out, data=str(tmp_path / "copy"))
    assert training.taken() == []
    training.captions = None
    sweep(out)
    assert len(training.taken()) == 3
    training.captions = captions_digest(open_data(str(tmp_path / "rings"), 32))
    sweep(out, data=str(tmp_path / "rings"))
    assert len(training.taken()) == 3


OLD = "gandiff train gan --seed 3 --minutes=5 --sweep gamma=0.25,1,4 --out somewhere"


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        (OLD, []),
        (f"{OLD} --resume --tensorboard", []),
        (f"{OLD} --batch-size 32 --device auto --set lr=0.1", []),  # its recipe is recorded
        (f"{OLD} --batch-size 16", VALUES),
        (f"{OLD} --minutes 6", VALUES),
        ("gandiff train gan --seed 3", VALUES),
        ("gandiff train", VALUES),  # Python's, which does not say
    ],
)
def test_trials_of_older_versions_are_known_by_their_command(
    tmp_path: Path,
    training: FakeTraining,
    capsys: pytest.CaptureFixture[str],
    command: str,
    taken: list[str],
) -> None:
    asked = {"seed": 3, "minutes": 5.0, "batch_size": 32, "ticks": 24}
    training.old = True
    for value in VALUES:
        old = request(tmp_path / f"gamma={value}", command=command, **asked)
        training(old, recipe_of("default", gamma=float(value)))
    training.old = False
    training.taken()
    capsys.readouterr()
    sweep(tmp_path, **asked)
    assert [value for value, _ in training.taken()] == taken
    reason = "does not say what" if command == "gandiff train" else "was asked for with other"
    said = capsys.readouterr().err
    assert said.count(f" {reason}") == said.count("warning: ") == len(taken)


def test_nothing_to_resume_is_refused(tmp_path: Path, training: FakeTraining) -> None:
    with pytest.raises(
        RequestError, match=r"--resume found no trial of gamma in .*; start without --resume"
    ):
        sweep(tmp_path / "out", resume=True)
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
def test_a_value_is_recommended_if_it_leads_by_more_than_the_noise_of_pictures(
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
    if scores[0] is not None:  # what was expected told
        kind = "25% of its Fréchet distance" if measured == "fd" else "sampling noise of 1000 pict"
        assert any(kind in line for line in said)
    assert ("confirm with several --seed" in said[-1]) == (recommended is not None)


class Swept(NamedTuple):
    """A family's recipe, one of its numbers, and its training, which is replaced."""

    recipe: Recipe
    number: str
    module: ModuleType

    def sweep(self, out: Path, **changes: Any) -> Sweep:
        return sweep_recipes(request(out, **changes), self.recipe, self.number, VALUES)


SWEPT = {
    "gan": Swept(GanRecipe(), "gamma", gan),
    "diffusion": Swept(DiffusionRecipe(), "min_snr", diffusion),
}


@pytest.mark.parametrize("family", SWEPT)
def test_sweeps_of_every_family_go_on_and_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """Wherever the checkpoint of the trial that was interrupted lies."""
    one = SWEPT[family]
    for checkpoint in one.recipe.checkpoints:
        fake = FakeTraining({"0.25": 0.1, "1": 0.5, "4": 0.3})
        fake.checkpoint, fake.interrupted = checkpoint, "1"
        monkeypatch.setattr(one.module, "train", fake)
        out = tmp_path / checkpoint.replace("/", "-")
        with pytest.raises(KeyboardInterrupt):
            one.sweep(out)
        assert fake.taken() == [("0.25", False), ("1", False)]
        fake.interrupted, fake.diverging = "", {"4"}
        swept = one.sweep(out, resume=True)
        assert fake.taken() == [("1", True), ("4", False)]
        assert (swept.recommended, swept.trials[2].diverged) == ("1", True)
        assert one.sweep(out) == swept
        assert fake.taken() == []
        one.sweep(out, resume=True, minutes=0.01)  # another sweep
        assert fake.taken() == [(value, False) for value in VALUES]


@pytest.fixture
def small_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRequest:
    """A request for real trainings of three steps, whose text encoder is there."""
    from gan_helpers import encoder

    from gandiff.experiments.training.monitors import files as file_monitor
    from gandiff.experiments.training.records import write_json

    monkeypatch.setattr(file_monitor, "_REAL", 40)
    first = tmp_path / "gamma=1"
    first.mkdir()
    encoder().save_pretrained(first)
    write_json(first / TEXT_RECORD, {"seconds": 0.0, "images": 0, "validation": {}})
    return request(tmp_path, resolution=16, kimg=0.012, ticks=1, dtype="float32")


def test_a_real_sweep_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_sweep: TrainingRequest
) -> None:
    """The records and checkpoints are those of real trainings, of a few steps."""
    from gandiff.experiments.training.gan.trainer import GanTrainer

    first = tmp_path / "gamma=1"
    usual, steps = GanTrainer.step, []

    def step(self: GanTrainer) -> Any:
        steps.append(self.loop.request.out.name)
        self.loop._asked = steps[-1] == "gamma=2"  # as after Ctrl-C
        return usual(self)

    asked = small_sweep
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


def test_a_real_sweep_of_the_diffusion_model_ends_and_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe is settled before it is recorded, and a finished trial is found by the record."""
    steps: list[str] = []
    usual = DiffusionTrainer.step

    def step(self: DiffusionTrainer) -> Any:
        steps.append(self.loop.request.out.name)
        return usual(self)

    monkeypatch.setattr(DiffusionTrainer, "step", step)
    captioned_folder(tmp_path / "data", 12)
    words = [
        "train",
        "diffusion",
        "--data",
        str(tmp_path / "data"),
        "--resolution",
        "8",
        "--space",
        "pixel",
    ]
    words += ["--set", "channels=8,16", "--set", "sampling_steps=1", "--set", "guidance=1"]
    words += ["--kimg", "0.012", "--batch-size", "4", "--ticks", "1", "--device", "cpu", "--quiet"]
    words += ["--out", str(tmp_path / "out"), "--sweep", "lr=1e-3,3e-3"]
    with little_to_check(8):
        assert main(words) == 0
        assert set(steps) == {"lr=1e-3", "lr=3e-3"}
        steps.clear()
        assert main([*words, "--set", "train_text=0.05"]) == 0  # which is what it is if omitted
        assert main([*words, "--resume"]) == 0
    assert steps == []


def test_a_real_training_that_diverges_does_not_end_the_sweep(
    tmp_path: Path, small_sweep: TrainingRequest
) -> None:
    values = ["1", "1e38"]
    found = sweep_recipes(small_sweep, GanRecipe(penalty_interval=1, d_warmup=0.0), "gamma", values)
    assert [trial.diverged for trial in found.trials] == [False, True]
    assert "became non-finite" in read(tmp_path / "gamma=1e38")["diverged"]
    assert found.recommended == "1"
