"""Trainings that are stopped and go on: the same weights as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import little_to_check, read, request

from gandiff.common.errors import RequestError
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.progress import LOG
from gandiff.experiments.training.text import train as text


@pytest.fixture(scope="module", autouse=True)
def _little_to_check() -> Iterator[None]:
    with little_to_check(20):
        yield


def assert_equal(a: dict[str, Any], b: dict[str, Any], where: str) -> None:
    """Tensor for tensor, to the last bit."""
    assert a.keys() == b.keys(), where
    for key, value in a.items():
        apart = (value - b[key]).abs().max()
        assert torch.equal(value, b[key]), f"{where}/{key}: {apart} apart"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many steps each loop makes, by its label; the schedule follows them, not the clock."""
    wanted = {"denoiser": 4, "autoencoder": 2, "text encoder": 1}

    def run(self: Loop, step: Any) -> None:
        while self.progress.steps < wanted[self.label]:
            self.progress.seconds = 60 * self.request.minutes * self.progress.steps / 5
            shown, _ = step()
            self.progress.images += shown
            self.progress.steps += 1
        self.save()

    monkeypatch.setattr(Loop, "run", run)
    return wanted


def test_a_diffusion_model_goes_on_exactly(tmp_path: Path, steps: dict[str, int]) -> None:
    diffusion.train(request(tmp_path / "whole"))
    steps["denoiser"] = 2
    diffusion.train(request(tmp_path / "halves"))
    steps.update({"denoiser": 4, "autoencoder": 9, "text encoder": 9})
    diffusion.train(request(tmp_path / "halves", resume=True))
    # The finished phases were left as they were: other latents would be of no use to the U-Net.
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for name in (
        "text_encoder/model",
        "vae/diffusion_pytorch_model",
        "unet/diffusion_pytorch_model",
    ):
        assert_equal(*(load_file(out / f"{name}.safetensors") for out in (halves, whole)), name)
    record = read(halves)
    assert record["steps"] == 4
    assert record["resumed"] == 1
    assert read_checkpoint(halves / "state" / "vae" / CHECKPOINT)["progress"]["steps"] == 2


def interrupt(patch: pytest.MonkeyPatch, label: str, after: int) -> None:
    """Press Ctrl-C in the step after so many of the loop with this label."""
    usual = Loop._one

    def watched(self: Loop, step: Any) -> None:
        usual(self, step)
        if self.label == label and self.progress.steps == after:
            raise KeyboardInterrupt

    patch.setattr(Loop, "_one", watched)


def test_ctrl_c_keeps_a_gan_that_goes_on(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "GAN", after=2)
        with pytest.raises(KeyboardInterrupt):
            gan.train(request(tmp_path, minutes=0.1))
    saved = read_checkpoint(tmp_path / CHECKPOINT)
    assert (saved["label"], saved["progress"]["images"]) == ("GAN", 8)
    assert not (tmp_path / "model.safetensors").exists()
    spent = saved["progress"]["seconds"]
    encoder = (tmp_path / "text_encoder" / "model.safetensors").read_bytes()
    gan.train(request(tmp_path, minutes=spent / 60 + 0.002, resume=True))
    record = read(tmp_path)
    assert record["images"] > 8
    assert record["seconds"] >= round(spent, 1)
    assert record["resumed"] == 1
    assert (tmp_path / "text_encoder" / "model.safetensors").read_bytes() == encoder


def test_ctrl_c_in_the_text_encoder_goes_on_there(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "text encoder", after=1)
        with pytest.raises(KeyboardInterrupt):
            gan.train(request(tmp_path, minutes=0.1))
    assert read_checkpoint(tmp_path / CHECKPOINT)["label"] == "text encoder"
    gan.train(request(tmp_path, resume=True))
    assert read(tmp_path, text.RECORD)["resumed"] == 1
    assert read(tmp_path)["resumed"] == 0
    assert read_checkpoint(tmp_path / CHECKPOINT)["label"] == "GAN"


def test_ctrl_c_in_the_autoencoder_goes_on_there(tmp_path: Path, steps: dict[str, int]) -> None:
    def run(self: Loop, step: Any, usual: Any = Loop.run) -> None:
        if self.label == "autoencoder":
            self.save()
            raise KeyboardInterrupt
        usual(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "run", run)
        with pytest.raises(KeyboardInterrupt):
            diffusion.train(request(tmp_path))
    assert not (tmp_path / "state" / "unet").exists()
    diffusion.train(request(tmp_path, resume=True))
    record = read(tmp_path)
    assert (record["steps"], record["resumed"]) == (steps["denoiser"], 0)
    assert read_checkpoint(tmp_path / "state" / "vae" / CHECKPOINT)["progress"]["resumed"] == 1


def test_judges_go_on_with_those_that_are_not_done(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "scene classifier b", after=1)
        with pytest.raises(KeyboardInterrupt):
            judges.train(request(tmp_path))
    first = (tmp_path / "scene-classifier-a" / "model.safetensors").read_bytes()
    judges.train(request(tmp_path, resume=True))
    assert (tmp_path / "scene-classifier-a" / "model.safetensors").read_bytes() == first
    assert read(tmp_path / "scene-classifier-b")["resumed"] == 1
    assert read(tmp_path / "scene-clip")["resumed"] == 0


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    text.train(request(tmp_path))
    assert (tmp_path / LOG).is_file()
    with pytest.raises(RequestError, match="is a checkpoint of 'text encoder', not of 'GAN'"):
        gan.train(request(tmp_path, resume=True))
