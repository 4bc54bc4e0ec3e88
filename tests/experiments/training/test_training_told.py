"""What a training tells of itself: its record, its bar, what it says when it goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from loop_helpers import make, request

from gandiff.common.errors import RequestError
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.records import write_json

MODEL = ("model.safetensors", "config.json", "README.md", "best/README.md", "samples/reals.png")


def test_a_fresh_start_drops_the_record_of_the_one_before(tmp_path: Path) -> None:
    """It would say that the new one is finished."""
    loop, _, step = make(tmp_path)
    loop.run(step)
    write_json(tmp_path / "training.json", loop.record(finished=True))
    make(tmp_path, resume=True)
    assert (tmp_path / "training.json").is_file()
    (tmp_path / "checkpoint.pt.123.tmp").touch()  # of a process that was killed while it wrote
    make(tmp_path)
    assert not list(tmp_path.glob("checkpoint*"))
    assert not (tmp_path / "training.json").exists()


def test_a_fresh_start_drops_the_model_of_the_one_before(tmp_path: Path) -> None:
    """Its weights would load beside a new text encoder, its curves join the new ones."""
    loop, _, step = make(tmp_path, tensorboard=True)
    loop.run(step)
    for name in MODEL:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    make(tmp_path, resume=True, tensorboard=True)
    assert len(list(tmp_path.glob("tensorboard/*"))) == 1
    assert all((tmp_path / name).exists() for name in MODEL)
    make(tmp_path, tensorboard=True)
    assert not list(tmp_path.glob("[!t]*"))
    assert not list(tmp_path.glob("tensorboard/*"))


def test_files_where_no_training_has_been_are_left_alone(tmp_path: Path) -> None:
    for name in (*MODEL, "tensorboard/mine"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    loop, _, step = make(tmp_path)
    loop.run(step)
    assert all((tmp_path / name).exists() for name in (*MODEL, "tensorboard/mine"))


def test_a_refused_resume_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--resume found no"):
        make(tmp_path, tensorboard=True, resume=True)
    assert not list(tmp_path.iterdir())


def test_the_record_says_what_the_budget_was(tmp_path: Path) -> None:
    assert make(tmp_path, kimg=0.5)[0].record()["budget"] == {"kimg": 0.5}
    assert make(tmp_path, minutes=2.0)[0].record()["budget"] == {"minutes": 2.0}


def test_the_record_names_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU at {device}")
    assert make(tmp_path, device="cuda:1")[0].record()["gpu"] == "the GPU at cuda:1"
    assert "gpu" not in make(tmp_path)[0].record()


def test_going_on_by_another_recipe_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(recipe: dict[str, object], **changes: Any) -> str:
        net = torch.nn.Linear(1, 1)
        loop = Loop(request(tmp_path, quiet=False, **changes), "toy", {"net": net}, recipe=recipe)
        loop.save()
        return capsys.readouterr().err

    assert start({"lr": 0.1, "betas": (0.0, 0.9)}) == ""
    assert start({"lr": 0.1, "betas": (0.0, 0.9)}, resume=True) == ""
    said = start({"lr": 0.2, "betas": (0.0, 0.9)}, resume=True)
    assert said.strip() == (
        "toy: continues with another recipe than it had: lr is 0.1 there and 0.2 here"
    )


def test_going_on_by_other_options_is_said_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is shown; and it stays where the training goes back to a checkpoint."""
    make(tmp_path, dtype="float32")[0].save()
    asked: dict[str, Any] = {"batch_size": 64, "processes": 2, "dtype": "bfloat16"}
    said = (
        "continues with other options than it had: batch_size is 32 there and 64 here; "
        "processes is 1 there and 2 here; dtype is float32 there and bfloat16 here"
    )
    make(tmp_path, resume=True, dtype="float32")
    assert capsys.readouterr().err == ""
    make(tmp_path, resume=True, quiet=False, **asked)
    assert capsys.readouterr().err.strip() == f"toy: {said}"
    loop, _, step = make(tmp_path, resume=True, kimg=0.03, **asked)
    assert capsys.readouterr().err == ""

    def broken_once() -> tuple[int, dict[str, float]]:
        shown, losses = step()
        return shown, {"loss": math.nan} if not loop.progress.rollbacks else losses

    loop.run(broken_once)
    texts = [event["text"] for event in loop.record()["events"]]
    assert texts[0] == said
    assert [text.partition(" (")[0] for text in texts[1:]] == ["not finite"]
    again, _, _ = make(tmp_path, resume=True, kimg=0.03, **asked)
    assert [
        event["text"] for event in again.events
    ] == texts  # the same options as at the last start


def test_checkpoints_of_earlier_versions_do_not_say_their_options(tmp_path: Path) -> None:
    loop, _, _ = make(tmp_path)
    del loop.progress.commands[0]["options"]
    loop.save()
    assert make(tmp_path, resume=True, batch_size=64)[0].events == []


def test_the_bar_shows_losses_that_the_last_step_had(tmp_path: Path) -> None:
    loop, _, _ = make(tmp_path)
    loop.log.add({"g_loss": 1.0, "r1": 5.0})
    assert loop.log.losses() == "g_loss 1"
    loop.log.add({"d_loss": 2.0, "r1": 5.0})
    assert loop.log.losses() == "d_loss 2"
    loop.log.add({"r1": 5.0})
    assert loop.log.losses() == "g_loss 1, r1 5, d_loss 2"


def test_tensorboard_gets_losses_and_measurements(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop, _, step = make(tmp_path, tensorboard=True, kimg=0.03, ticks=1)
    loop.run(step, lambda: (0.5, {"score": 0.5, "recall": 0.25}))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "score", "recall"}
    (score,) = found.Scalars("score")
    assert (score.step, score.value) == (30, 0.5)
    assert len(found.Scalars("loss")) >= 1
