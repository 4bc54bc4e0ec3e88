"""Guidance by a CLIP model: it pulls pictures to captions, and never by a judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from gan_helpers import SMALL_STEPS, run, trainer

from gandiff.common.errors import RequestError
from gandiff.evaluate.extractors.clip import SCENES
from gandiff.experiments.training.gan.guidance import Guidance, check_guidance
from gandiff.experiments.training.gan.recipe import GanRecipe


@pytest.fixture(scope="module")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The architecture of the scene CLIP with random weights: not the judge."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("clip") / "other"
    shutil.copytree(SCENES, folder)
    torch.manual_seed(0)
    weights = load_file(folder / "open_clip_model.safetensors")
    noise = {
        k: v + 0.02 * torch.randn_like(v) if v.is_floating_point() else v
        for k, v in weights.items()
    }
    save_file(noise, folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.parametrize("name", ["scenes", str(SCENES), f"local-dir:{SCENES}"])
def test_a_judge_never_guides(name: str) -> None:
    with pytest.raises(RequestError, match="the scene CLIP judges and must not guide"):
        check_guidance(name)


def test_a_copy_of_a_judge_is_the_judge(tmp_path: Path) -> None:
    shutil.copytree(SCENES, tmp_path / "copy")
    with pytest.raises(RequestError, match="must not guide"):
        Guidance(str(tmp_path / "copy"), "cpu")


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--guidance nothing/none: ") as refused:
        Guidance("nothing/none", "cpu")
    assert "\n" not in str(refused.value)


def test_its_loss_falls_along_its_gradient(other_clip: Path) -> None:
    guidance = Guidance(str(other_clip), "cpu")
    torch.manual_seed(0)
    pictures = (torch.rand(3, 3, 32, 32) * 2 - 1).requires_grad_()
    captions = ["a red star", "a blue ring on white", "a heart"]
    before = guidance.loss(pictures, captions, 3)
    (gradient,) = torch.autograd.grad(before, pictures)
    assert gradient.isfinite().all()
    moved = pictures.detach() - 0.05 * gradient / gradient.abs().max()
    assert guidance.loss(moved, captions, 3) < before
    halves = guidance.loss(pictures[:1], captions[:1], 3) + guidance.loss(
        pictures[1:], captions[1:], 3
    )
    torch.testing.assert_close(halves, before)


def test_a_guided_training_records_its_guide(other_clip: Path, tmp_path: Path) -> None:
    recipe = GanRecipe(d_warmup=0.0, g_warmup=0.0, guidance=str(other_clip), **SMALL_STEPS)
    one = trainer(tmp_path, recipe)
    assert all("guidance" in losses for losses in run(one, 2))
    (start,) = one.loop.record()["commands"]
    assert json.loads(json.dumps(start["recipe"]))["guidance"] == str(other_clip)


def test_an_empty_caption_guides_nowhere(other_clip: Path, tmp_path: Path) -> None:
    recipe = GanRecipe(d_warmup=0.0, g_warmup=0.0, guidance=str(other_clip), **SMALL_STEPS)
    one = trainer(tmp_path, recipe)
    (part,) = one.draw(0, caption_dropout=0.99)[1]
    assert not part.has_caption.any()
    _, measured = one.losses.generator(part, one._generate(part), torch.zeros(4), 4, energy=1.0)
    assert measured["guidance"] == 0.0
