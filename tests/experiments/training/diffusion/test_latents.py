"""What the denoiser learns from: all captions, as many pictures as the budget can show, and
latents of the right autoencoder.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from diffusion_helpers import RECIPE, trainer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_helpers import request

from gandiff.common.errors import RequestError
from gandiff.experiments.data.captioned import FileImages, SceneImages
from gandiff.experiments.training.diffusion.latents import FILE, Latents, check_room

COUNT = 6
RECIPES = {"latent": RECIPE, "pixel": dataclasses.replace(RECIPE, space="pixel")}


@pytest.fixture
def photos(tmp_path: Path) -> FileImages:
    """Pictures with a caption, two, or three."""
    folder = toys.save_toy_images(tmp_path / "photos", [f"{i}.png" for i in range(COUNT)])
    for i in range(COUNT):
        lines = [f"star {i} in words {turn}" for turn in range(1 + i % 3)]
        (folder / f"{i}.txt").write_text("\n".join(lines), encoding="utf-8")
    return FileImages(folder, 16, seed=3)


def test_every_caption_of_a_picture_is_learned(tmp_path: Path, photos: FileImages) -> None:
    one = trainer(tmp_path / "out", dataclasses.replace(RECIPE, caption_dropout=0.0), data=photos)
    known = {caption for each in one.latents.captions for caption in each}
    assert sorted(map(len, one.latents.captions)) == [1, 1, 2, 2, 3, 3]
    drawn = [caption for step in range(60) for caption in one.draw(4 * step).captions]
    assert set(drawn) == known == set(photos.captions(100))
    # The same again, and pictures take turns and not captions: each of three is shown less often.
    assert drawn == [caption for step in range(60) for caption in one.draw(4 * step).captions]
    single, triple = (
        [drawn.count(c) for each in one.latents.captions if len(each) == n for c in each]
        for n in (1, 3)
    )
    assert min(single) > max(triple)


def test_latents_are_kept_and_those_of_another_autoencoder_are_made_again(
    tmp_path: Path, photos: FileImages, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trainer(tmp_path / "out", data=photos)
    file = tmp_path / "out" / "state" / "latents.safetensors"
    before = file.read_bytes()
    trainer(tmp_path / "out", data=photos)
    assert file.read_bytes() == before
    assert "made again" not in capsys.readouterr().err
    other = dataclasses.replace(RECIPE, latent_channels=8)
    again = trainer(tmp_path / "out", other, data=photos)
    assert "was made of another autoencoder; it is made again" in capsys.readouterr().err
    assert again.latents.values.shape[1] == 8 != first.latents.values.shape[1]
    trainer(tmp_path / "out", RECIPES["pixel"], data=photos)
    assert "was made of another autoencoder; it is made again" in capsys.readouterr().err


def saved(out: Path, space: str, **changes: Any) -> Latents:
    """The latents of a training that is begun, or resumed, and leaves its checkpoint."""
    one = trainer(out, RECIPES[space], **changes)
    one.loop.save()
    return one.latents


def same(a: Latents, b: Latents, n: int) -> bool:
    """Whether the first n are the same, bit for bit, and so are mean and scale."""
    means = (torch.zeros(1) if one.mean is None else one.mean for one in (a, b))
    return (
        torch.equal(a.values[:n], b.values[:n])
        and a.captions[:n] == b.captions[:n]
        and torch.equal(*means)
        and (a.std, a.first) == (b.std, b.first)
    )


@pytest.mark.parametrize("space", RECIPES)
def test_a_larger_budget_adds_pictures_behind_those_that_are_there(
    tmp_path: Path, space: str
) -> None:
    out, file = tmp_path / "out", tmp_path / "out" / "state" / FILE
    first = saved(out, space, kimg=0.02)
    assert len(first.values) == len(first.captions) == first.first == 20
    more = saved(out, space, kimg=0.05, resume=True)
    assert len(more.values) == len(more.captions) == 50
    assert same(first, more, 20)
    # Those that are new are the ones that a training of this budget has from the beginning.
    whole = saved(tmp_path / "whole", space, kimg=0.05)
    assert whole.captions == more.captions
    values = [one.values.float() * one.std for one in (whole, more)]
    means = [0.0 if one.mean is None else one.mean[:, None, None] for one in (whole, more)]
    torch.testing.assert_close(values[0] + means[0], values[1] + means[1], rtol=0, atol=5e-3)
    before = file.read_bytes()
    assert same(more, saved(out, space, kimg=0.02, resume=True), 50)  # which stay
    assert file.read_bytes() == before
    file.unlink()  # and are made again as they were
    assert same(more, saved(out, space, kimg=0.05, resume=True), 50)


def test_how_many_pictures_grow_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, "latent", kimg=0.02)
    saved(tmp_path, "latent", kimg=0.05, resume=True, quiet=False)
    assert f"{FILE} grows from 20 to 50 pictures with the budget" in capsys.readouterr().err


@pytest.mark.parametrize("space", RECIPES)
def test_a_folder_is_cut_by_the_budget_and_grows_with_it(
    tmp_path: Path, photos: FileImages, space: str
) -> None:
    first = saved(tmp_path / "out", space, data=photos, kimg=0.004)
    assert len(first.values) == 4
    more = saved(tmp_path / "out", space, data=photos, kimg=0.032, resume=True)
    assert len(more.values) == COUNT
    assert same(first, more, 4)
    assert sorted(map(len, more.captions)) == [1, 1, 2, 2, 3, 3]


def test_latents_of_earlier_versions_do_not_say_with_how_many_they_began(tmp_path: Path) -> None:
    first = saved(tmp_path, "latent", kimg=0.02)
    file = tmp_path / "state" / FILE
    with safe_open(file, framework="pt") as opened:
        known = {k: v for k, v in opened.metadata().items() if k != "first"}
    save_file(load_file(file), file, known)
    assert same(first, saved(tmp_path, "latent", kimg=0.05, resume=True), 20)


def test_what_a_denoiser_learned_from_is_not_overwritten(tmp_path: Path) -> None:
    first = saved(tmp_path, "latent")
    file = tmp_path / "state" / FILE
    before = file.read_bytes()
    other = dataclasses.replace(RECIPE, latent_channels=8)
    with pytest.raises(RequestError, match="was made of another autoencoder, and the denoiser in"):
        trainer(tmp_path, other, resume=True)
    assert file.read_bytes() == before
    file.unlink()  # the old one is read from still
    file.write_bytes(before[:100])  # of no use to anybody
    assert same(trainer(tmp_path, resume=True).latents, first, 32)


def test_a_folder_is_cut_by_cached_images_which_is_said(
    tmp_path: Path, photos: FileImages, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = dataclasses.replace(RECIPE, cached_images=4)
    one = trainer(tmp_path / "out", recipe, data=photos)
    assert len(one.latents.values) == 4
    asked = dataclasses.replace(one.request, quiet=False)
    check_room(recipe, photos, asked)
    said = capsys.readouterr().err
    assert said == f"4 of the {COUNT} pictures are learned from, as many as cached_images allows\n"
    check_room(RECIPE, photos, asked)
    assert capsys.readouterr().err == ""


def test_latents_that_memory_cannot_hold_are_refused(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, cached_images=10**12)
    asked = request(tmp_path, kimg=1e9, resolution=64)
    with pytest.raises(RequestError, match=r"GiB are free; --set cached_images=\d+ would fit"):
        check_room(recipe, SceneImages(64), asked)
