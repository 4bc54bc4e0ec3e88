"""Trainings that are stopped and go on: the same weights as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import little_to_check, read, request, small_diffusion

from gandiff.common.errors import RequestError
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.progress import LOG
from gandiff.experiments.training.request import TrainingRequest
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


PHASES = ("text encoder", "autoencoder", "denoiser")


@pytest.mark.parametrize("label", PHASES)
def test_a_diffusion_model_goes_on_exactly(
    whole_diffusion: Path, tmp_path: Path, label: str
) -> None:
    """Stopped in any phase: the same weights, tensor for tensor."""
    asked = diffusion_request(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, label, after=1)
        with pytest.raises(KeyboardInterrupt):
            diffusion.train(asked, small_diffusion())
    assert not (tmp_path / "model_index.json").exists()
    diffusion.train(dataclasses.replace(asked, resume=True), small_diffusion())
    for name in (
        "text_encoder/model",
        "vae/diffusion_pytorch_model",
        "unet/diffusion_pytorch_model",
    ):
        both = (load_file(out / f"{name}.safetensors") for out in (tmp_path, whole_diffusion))
        assert_equal(*both, name)
    record = read(tmp_path)
    # The text encoder has a record of its own.
    assert record["resumed"] == (label != "text encoder")
    assert len(record["commands"]) == 1 + (label != "text encoder")
    assert record["images"] == read(whole_diffusion)["images"]


def test_a_finished_autoencoder_stays_as_it_is(whole_diffusion: Path, tmp_path: Path) -> None:
    """Other latents would be of no use to the denoiser: a larger budget is all its own."""
    out = tmp_path / "out"
    shutil.copytree(whole_diffusion, out)
    (out / "state" / "latents.safetensors").unlink()  # which are made again, alike
    larger = dataclasses.replace(diffusion_request(out), kimg=0.08, resume=True)
    diffusion.train(larger, small_diffusion())
    record, before = read(out), read(whole_diffusion)
    assert record["autoencoder"]["images"] == before["autoencoder"]["images"]
    assert before["images"] < 80 <= record["images"]  # what it did not get is not lost


def test_what_was_noted_of_an_autoencoder_is_in_the_record(tmp_path: Path) -> None:
    asked = dataclasses.replace(diffusion_request(tmp_path), command="first")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "autoencoder", after=1)
        with pytest.raises(KeyboardInterrupt):
            diffusion.train(asked, small_diffusion(kl=0.5))
    asked = dataclasses.replace(asked, command="second", resume=True)
    diffusion.train(asked, small_diffusion())
    record = read(tmp_path)
    assert [start["command"] for start in record["commands"]] == ["first", "second"]
    assert "kl is 0.5 there and 1e-05 here" in record["events"][0]["text"]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- Command: `first`" in card
    assert "images on: `second`" in card
    diffusion.train(dataclasses.replace(asked, command="third", kimg=0.08), small_diffusion())
    again = read(tmp_path)
    assert [start["command"] for start in again["commands"]] == ["first", "second", "third"]
    assert again["events"][0] == record["events"][0]


def test_an_autoencoder_of_an_earlier_version_continues_by_adamw(tmp_path: Path) -> None:
    """It was trained by nothing else, and its checkpoint does not say so."""
    asked, recipe = diffusion_request(tmp_path), small_diffusion(autoencoder_optimizer="adamw")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "autoencoder", after=1)
        with pytest.raises(KeyboardInterrupt):
            diffusion.train(asked, recipe)
    path = tmp_path / "state" / "autoencoder" / CHECKPOINT
    saved = torch.load(path, weights_only=True)
    del saved["networks"]["autoencoder_optimizer"]
    torch.save(saved, path)
    asked = dataclasses.replace(asked, resume=True)
    with pytest.raises(RequestError, match="autoencoder_optimizer is adamw there and muon here"):
        diffusion.train(asked, small_diffusion())
    diffusion.train(asked, recipe)
    assert read(tmp_path)["autoencoder"]["images"] > 0


def test_an_autoencoder_that_is_gone_is_not_made_again(
    whole_diffusion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole_diffusion, out)
    (out / "state" / "autoencoder" / CHECKPOINT).unlink()
    with pytest.raises(RequestError, match="is missing, which holds the autoencoder"):
        diffusion.train(dataclasses.replace(diffusion_request(out), resume=True), small_diffusion())


CHANGES = {
    "resolution 32": "is of a training with --resolution 16, not 32; give what it was started with",
    "space pixel": "is of a training with space=latent, not pixel; give what it was started with",
    "kl 0.5": "is of a training with kl=1e-05, not 0.5; give what it was started with",
    "autoencoder_share 0.5": "is of a training with autoencoder_share=0.1, not 0.5; give what",
    "schedule linear": "is of a training with schedule=cosine, not linear; give what it was",
    "optimizer adamw": "holds another denoiser than is asked for: optimizer is muon there and",
    "autoencoder_optimizer adamw": "another autoencoder than is asked for: autoencoder_optimizer "
    "is muon there and adamw here",
    "attention_layers 1": "attention_layers is 2 there and 1 here; use the options that it was",
    "latent_channels 8": "another autoencoder than is asked for: latent_channels is 4 there and 8",
}


def changed(asked: TrainingRequest, change: str) -> tuple[TrainingRequest, DiffusionRecipe]:
    """A request and the small recipe with another value of one of their fields."""
    name, value = change.split()
    plain: Any = json.loads(value) if value[0].isdigit() else value
    if name == "resolution":
        return dataclasses.replace(asked, resolution=plain), small_diffusion()
    return asked, small_diffusion(**{name: plain})


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_diffusion_model_cannot_continue_by_is_refused_before_anything_is_written(
    whole_diffusion: Path, change: str
) -> None:
    def contents() -> dict[Path, bytes]:
        files = (path for path in sorted(whole_diffusion.rglob("*")) if path.is_file())
        return {path: path.read_bytes() for path in files if not path.name.startswith(".")}

    before = contents()
    asked = dataclasses.replace(diffusion_request(whole_diffusion), resume=True)
    with pytest.raises(RequestError) as refused:
        diffusion.train(*changed(asked, change))
    assert CHANGES[change] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert contents() == before


def test_an_unfinished_autoencoder_does_not_continue_with_other_pictures(tmp_path: Path) -> None:
    asked = diffusion_request(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, "autoencoder", after=1)
        with pytest.raises(KeyboardInterrupt):
            diffusion.train(asked, small_diffusion())
    resumed = dataclasses.replace(asked, resume=True)
    for change in ("resolution 32", "space pixel", "latent_channels 8"):
        with pytest.raises(RequestError) as refused:
            diffusion.train(*changed(resumed, change))
        assert CHANGES[change] in str(refused.value)
        assert "state/autoencoder/checkpoint.pt" in str(refused.value)
    # What the autoencoder does not depend on may change as long as there is no denoiser.
    diffusion.train(resumed, small_diffusion(schedule="linear"))


def test_other_noise_levels_may_follow_which_is_recorded(
    whole_diffusion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole_diffusion, out)
    asked = dataclasses.replace(
        diffusion_request(out), kimg=0.08, batch_size=8, dtype="float32", resume=True
    )
    recipe = small_diffusion(timesteps="uniform")
    diffusion.train(asked, recipe)
    record = read(out)
    said = [event["text"] for event in record["events"]]
    first, second = (text for text in said if text.startswith("continues with "))
    assert first == (
        "continues with another recipe than it had: timesteps is log-normal there and uniform here"
    )
    assert second.startswith(
        "continues with other options than it had: batch_size is 4 there and 8 here"
    )
    assert (record["autoencoder"]["images"], record["latents"]) == (
        read(whole_diffusion)["autoencoder"]["images"],
        80,
    )


def test_a_diffusion_model_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("vae", "unet"):
        folder = tmp_path / "state" / name
        folder.mkdir(parents=True)
        (folder / CHECKPOINT).touch()
    with pytest.raises(RequestError, match="unet is of a diffusion model of an earlier gandiff"):
        diffusion.train(request(tmp_path, resume=True))


def diffusion_request(out: Path) -> TrainingRequest:
    return request(out, kimg=0.04, resolution=16, ticks=1)


@pytest.fixture(scope="module")
def whole_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diffusion") / "out"
    return diffusion.train(diffusion_request(out), small_diffusion())


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
