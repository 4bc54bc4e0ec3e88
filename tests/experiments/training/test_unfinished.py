"""A fresh training does not overwrite one that is not finished."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
from gan_helpers import encoder
from training_helpers import request

from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.training.checkpoints import CHECKPOINT, write_checkpoint
from gandiff.experiments.training.checks import refuse_unfinished
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.records import write_json


def save(out: Path, images: int, label: str = "GAN", name: str = CHECKPOINT) -> None:
    """A checkpoint after so many images."""
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    content = {"label": label, "progress": {"images": images}, "state": {}}
    write_checkpoint(out / name, content)


def test_an_unfinished_training_is_not_overwritten(tmp_path: Path) -> None:
    save(tmp_path, 412_000)
    with pytest.raises(RequestError) as refused:
        refuse_unfinished(request(tmp_path), CHECKPOINT)
    assert str(refused.value) == (
        f"{tmp_path} holds a training that is not finished (GAN, 412.0 kimg); "
        "continue with --resume, give another --out, or start again with --overwrite"
    )
    refuse_unfinished(request(tmp_path, resume=True), CHECKPOINT)


@pytest.mark.parametrize(
    ("record", "finished"),
    [
        ({"finished": True, "images": 412_000}, True),
        ({"images": 412_000}, True),  # of an older version
        ({"finished": False, "images": 412_000}, False),
        ({"finished": True, "images": 400_000}, False),  # it went on since, with a larger budget
        ([], False),
    ],
)
def test_a_training_is_finished_when_its_record_has_all_images(
    tmp_path: Path, record: Any, finished: bool
) -> None:
    save(tmp_path, 412_000)
    write_json(tmp_path / "training.json", record)
    if finished:
        refuse_unfinished(request(tmp_path), CHECKPOINT)
        return
    with pytest.raises(RequestError, match="not finished"):
        refuse_unfinished(request(tmp_path), CHECKPOINT)


def test_there_is_nothing_to_lose_before_the_first_step(tmp_path: Path) -> None:
    refuse_unfinished(request(tmp_path / "nowhere"), CHECKPOINT)
    save(tmp_path, 0)
    refuse_unfinished(request(tmp_path), CHECKPOINT)


def test_a_text_encoder_has_a_record_of_its_own(tmp_path: Path) -> None:
    save(tmp_path, 2560, label="text encoder")
    with pytest.raises(RequestError, match=r"not finished \(text encoder, 2.6 kimg\)"):
        refuse_unfinished(request(tmp_path), CHECKPOINT)
    write_json(tmp_path / "text_training.json", {"images": 2560})
    refuse_unfinished(request(tmp_path), CHECKPOINT)


def test_a_training_in_parts_is_finished_as_a_whole(tmp_path: Path) -> None:
    names = ("checkpoint.pt", "state/vae/checkpoint.pt", "state/unet/checkpoint.pt")
    save(tmp_path, 1000, "autoencoder", names[1])
    save(tmp_path, 3000, "denoiser", names[2])
    with pytest.raises(RequestError, match=r"\(autoencoder, denoiser, 4\.0 kimg\)"):
        refuse_unfinished(request(tmp_path), *names)
    write_json(tmp_path / "training.json", {"images": 4000})
    refuse_unfinished(request(tmp_path), *names)


def test_judges_that_are_not_finished_are_not_overwritten(
    empty_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "train", lambda *_: None)
    save(Path("out/scene-classifier-a"), 1000, "classifier a")
    assert main(["train", "judges", "--out", "out"]) == 2
    assert "scene-classifier-a holds a training that is not finished" in capsys.readouterr().err
    write_json(Path("out/scene-classifier-a/training.json"), {"images": 1000})
    assert main(["train", "judges", "--out", "out"]) == 0


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        (diffusion, "_autoencoder", ["state/autoencoder/checkpoint.pt"]),
        (judges, "train_classifier", ["scene-classifier-b/checkpoint.pt"]),
    ],
    ids=["diffusion", "judges"],
)
def test_parts_of_an_older_training_are_not_taken_for_parts_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, first: str, later: list[str]
) -> None:
    """Interrupted before it has its own, a fresh start would go on from theirs."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in later:
        save(tmp_path / "out", 1000, "autoencoder", name)
    monkeypatch.setattr(kind, first, interrupted)
    monkeypatch.setattr("gandiff.experiments.training.text.train.ensure", lambda *_: encoder())
    for resume in (True, False):
        with pytest.raises(KeyboardInterrupt):
            kind.train(request(tmp_path / "out", resolution=32, resume=resume))
        assert [(tmp_path / "out" / name).is_file() for name in later] == [resume] * len(later)


@pytest.mark.parametrize(
    ("options", "code"), [([], 2), (["--resume"], 0), (["--sweep", "gamma=1,2"], 0)]
)
def test_the_command_refuses_unless_it_goes_on(
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
) -> None:
    nothing = types.SimpleNamespace(text="")
    monkeypatch.setattr(gan, "train", lambda *_: None)
    monkeypatch.setattr(
        "gandiff.experiments.training.sweep.sweep_recipes", lambda *_, **__: nothing
    )
    save(Path("out"), 412_000)
    save(Path("out/gamma=1"), 412_000)
    assert main(["train", "gan", "--out", "out", *options]) == code
    assert ("out holds a training that is not finished" in capsys.readouterr().err) == (code == 2)
