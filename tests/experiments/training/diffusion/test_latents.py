"""What the denoiser learns from: all captions, and latents of the right autoencoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import toys
from diffusion_helpers import RECIPE, trainer

from gandiff.experiments.data.captioned import FileImages

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
