"""Every training for a moment, through the public functions, and what is made of its result."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from training_helpers import little_to_check, read, request, small_diffusion

from gandiff.common.errors import RequestError
from gandiff.experiments.scenes.captions import caption_facts, captions
from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.scenes.render import render
from gandiff.experiments.training.checkpoints import CHECKPOINT
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.text import train as text
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import GenerationRequest
from gandiff.models.settings import GanSettings
from gandiff.models.text import TextEncoder
from gandiff.models.tokenizer import token_ids

TRAININGS = {"gan": gan, "diffusion": diffusion, "text": text, "judges": judges}


@pytest.fixture(scope="module", autouse=True)
def _little_to_check() -> Iterator[None]:
    with little_to_check(40):
        yield


@pytest.fixture(scope="module")
def gan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gan") / "deep" / "out"
    return gan.train(request(out, kimg=0.04, command="gandiff train gan --kimg 0.04"))


@pytest.fixture(scope="module")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diffusion") / "out"
    return diffusion.train(request(out, kimg=0.04), small_diffusion())


@pytest.fixture(scope="module")
def judges_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judges.train(request(tmp_path_factory.mktemp("judges") / "out", minutes=0.02))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of six captioned scenes at 16 px."""
    seeds = scene_seeds("test", 0, 6)
    scenes = sample_scenes(seeds)
    texts = captions(caption_facts(scenes, seeds), seeds)
    toys.save_captioned(tmp_path / "pictures", render(scenes, 16), texts)
    return tmp_path / "pictures"


def assert_draws(folder: Path, side: int) -> None:
    generator = GanGenerator(name="mine", settings=GanSettings(weights=str(folder)))
    generator.load("cpu", "float32")
    (made,) = generator.generate([GenerationRequest(prompt="a red star", seed=1)])
    assert made.status == "ok", made.reason
    assert made.image is not None
    assert made.image.shape == (side, side, 3)


def test_a_trained_gan_loads_and_draws(gan_folder: Path) -> None:
    assert_draws(gan_folder, 32)
    info = GanGenerator(name="mine", settings=GanSettings(weights=str(gan_folder))).info
    assert info.licence == "apache-2.0"
    assert info.training_images == read(gan_folder)["images"] > 0


def test_a_trained_gan_says_how_it_was_made(gan_folder: Path) -> None:
    facts = read(gan_folder)
    assert facts["command"] == "gandiff train gan --kimg 0.04"
    assert (facts["data"], facts["resolution"], facts["batch_size"]) == ("scenes", 32, 4)
    assert facts["seconds"] >= 0.3
    assert facts["images"] == 4 * facts["steps"]
    assert set(facts["text"]) >= {"seconds", "images", "validation"}
    assert facts["curve"][-1].keys() >= {"seconds", "kimg", "d_loss", "g_loss"}
    assert facts["ticks"][-1].keys() >= {"score", "all", "unstated_coverage", "fd", "recall", "r_v"}
    assert [row["truncation_psi"] for row in facts["truncation"]] == [0.0, 0.25, 0.5, 0.7, 1.0]
    assert facts["neighbours"]["ratio"] > 0
    assert facts["precision"] in ("bfloat16", "float32")
    assert facts["finished"]
    pictures = {path.name for path in (gan_folder / "samples").iterdir()}
    assert {"reals.png", "truncation.png", "neighbours.png"} < pictures
    assert (gan_folder / "best" / "model.safetensors").is_file()
    card = (gan_folder / "README.md").read_text(encoding="utf-8")
    assert "`gandiff train gan --kimg 0.04`" in card
    assert f"{facts['images']:,} in {facts['steps']:,} steps, batch 4" in card


def test_a_trained_diffusion_model_is_a_plain_pipeline(diffusion_folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(diffusion_folder)
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe) is StableDiffusionPipeline
    assert pipe.safety_checker is None
    torch.manual_seed(0)
    out = pipe("a red star on white", num_inference_steps=2, output_type="np")
    assert out.images.shape == (1, 32, 32, 3)
    assert np.isfinite(out.images).all()


def test_a_trained_diffusion_model_says_how_it_was_made(diffusion_folder: Path) -> None:
    facts = read(diffusion_folder)
    vae, recipe = facts["autoencoder"], small_diffusion().settled(None)
    assert facts["seconds"] >= vae["seconds"] > 0
    # The budget counts both networks: 10 % of 40 images in whole batches, then the rest.
    assert (vae["images"], facts["images"]) == (4, 40)
    assert facts["recipe"] == json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert facts["finished"]
    assert vae["reconstruction"].keys() >= {"psnr_db", "psnr_db_worst", "same", "all", "shape"}
    assert vae["reconstruction"]["images"] == 40
    (alarm,) = (e for e in facts["events"] if e["text"].startswith("weak autoencoder: "))
    assert f"in {vae['reconstruction']['all']:.1%} of reconstructed scenes" in alarm["text"]
    assert facts["ticks"][-1].keys() >= {
        "score",
        "all",
        "fd",
        "mse_low",
        "mse_high",
        "caption_gain",
    }
    points = {
        (row["solver"], row["num_inference_steps"], row["guidance_scale"])
        for row in facts["operating_points"]
    }
    own = recipe.solver  # and no other one, after so short a trial
    assert {(own, 1, 1.0), (own, 1, 5.0), (own, 50, 1.0)} <= points
    assert {solver for solver, _, _ in points} == {own}
    assert facts["neighbours"]["searched"] == 40
    pictures = {path.name for path in (diffusion_folder / "samples").iterdir()}
    assert {"reals.png", "guidance.png", "neighbours.png"} < pictures
    assert (diffusion_folder / "best" / "model_index.json").is_file()
    card = (diffusion_folder / "README.md").read_text(encoding="utf-8")
    assert f"{vae['reconstruction']['psnr_db']:.1f} dB" in card


def test_pictures_at_ticks_are_those_of_the_saved_pipeline(diffusion_folder: Path) -> None:
    """Plain diffusers, at the point and from the noise of the training's own sampling."""
    from diffusers import StableDiffusionPipeline

    asked, recipe = request(diffusion_folder, kimg=0.04, resume=True), small_diffusion()
    with pytest.MonkeyPatch.context() as patch:
        kept: list[Any] = []
        patch.setattr(diffusion.DiffusionTrainer, "finish", lambda self, _: kept.append(self))
        diffusion.train(asked, recipe)
    captions = ["a red star", "a blue ring on white", ""]
    mine = kept[0].sample(captions, seed=7)
    pipe = StableDiffusionPipeline.from_pretrained(diffusion_folder)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    call = {"num_inference_steps": recipe.sampling_steps, "guidance_scale": recipe.guidance}

    def theirs() -> np.ndarray:
        made = pipe(captions, latents=noise, **call, output_type="pil").images
        return np.stack([np.array(one) for one in made])

    apart = np.abs(theirs().astype(int) - mine)  # other loops of the same sums
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3
    for network in (pipe.unet, pipe.vae):
        network.to(memory_format=torch.channels_last)
    np.testing.assert_array_equal(mine, theirs())
    # One by one they are the same, up to the rounding of other sizes.
    alone = np.concatenate([kept[0].sample(captions[:1], seed=7)])
    assert np.abs(alone.astype(int) - mine[:1]).max() <= 1


def test_trained_judges_load_and_name_what_they_see(judges_folder: Path) -> None:
    from gandiff.evaluate.extractors.scenes import load_classifier

    images = render(sample_scenes(scene_seeds("test", 0, 5)), 32)
    for name in ("a", "b"):
        folder = judges_folder / f"scene-classifier-{name}"
        judge = load_classifier(str(folder))
        found = judge.predict(images)
        assert len(found) == 5
        assert {"count", "background", "objects", "relation"} == set(found[0])
        assert judge.features(images).shape == (5, 96)
        assert set(read(folder)["validation"]) >= {"all", "shape_0", "relation"}
    seeds = {read(folder)["seed"] for folder in judges_folder.iterdir() if folder.is_dir()}
    assert len(seeds) == 3


def test_a_trained_scene_clip_is_a_plain_open_clip_model(judges_folder: Path) -> None:
    import open_clip
    from transformers import CLIPTokenizerFast

    source = f"local-dir:{judges_folder / 'scene-clip'}"
    model, preprocess = open_clip.create_model_from_pretrained(source)
    tokenizer = open_clip.get_tokenizer(source)
    texts = ["A red STAR left of a ring", "a heart"]
    mine = CLIPTokenizerFast.from_pretrained(judges_folder / "scene-clip")
    assert torch.equal(tokenizer(texts), token_ids(mine, texts))
    with torch.inference_mode():
        assert model.encode_text(tokenizer(texts)).shape == (2, 64)
        from PIL import Image

        pixels = preprocess(Image.new("RGB", (32, 32), (255, 0, 51)))[None]
        assert pixels[0, :, 5, 5].tolist() == pytest.approx([1.0, -1.0, -0.6], abs=1e-6)
        assert model.encode_image(pixels).shape == (1, 64)


def test_a_text_encoder_alone(tmp_path: Path) -> None:
    out = text.train(request(tmp_path / "out"))
    assert TextEncoder.from_pretrained(out)(["a star"]).pooled.shape == (1, 96)
    assert set(read(out, text.RECORD)["validation"]) == {"usual", "held_out"}


def test_a_gan_from_a_folder_of_pictures(pictures: Path, tmp_path: Path) -> None:
    out = gan.train(request(tmp_path / "out", data=str(pictures), resolution=16))
    assert_draws(out, 16)
    assert read(out)["data"] == str(pictures)


def test_a_diffusion_model_from_a_folder_of_pictures(pictures: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    asked = request(tmp_path / "out", data=str(pictures), resolution=16, kimg=0.02)
    out = diffusion.train(asked, small_diffusion())
    assert StableDiffusionPipeline.from_pretrained(out).unet.config.sample_size == 4
    assert read(out)["autoencoder"]["reconstruction"]["images"] == 6


def test_a_text_encoder_that_is_there_is_taken(gan_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(gan_folder / part, out / part)
    shutil.copy(gan_folder / text.RECORD, out)
    before = (out / "text_encoder" / "model.safetensors").read_bytes()
    gan.train(request(out))
    assert (out / "text_encoder" / "model.safetensors").read_bytes() == before


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *(
        (kind, {"data": "nowhere"}, "nowhere is not a folder")
        for kind in ("gan", "diffusion", "text")
    ),
    *((kind, {"resume": True}, "--resume found no checkpoint.pt") for kind in ("gan", "text")),
    ("diffusion", {"resume": True}, "--resume found no checkpoint.pt"),
    ("judges", {"resume": True}, "--resume found no scene-clip/checkpoint.pt"),
    *((kind, {"minutes": 0.0}, "--minutes must be above 0") for kind in TRAININGS),
    *((kind, {"minutes": -1.0}, "--minutes must be above 0") for kind in TRAININGS),
    ("gan", {"resolution": 48}, "--resolution 48: resolution must be a power of two"),
    ("diffusion", {"resolution": 36}, "--resolution 36: a diffusion model needs a multiple of 8"),
    (
        "diffusion",
        {"batch_size": 60_001},
        "cached_images must be at least the batch size, 60001, got 60000",
    ),
    ("judges", {"resolution": 64}, "the judges are trained on scenes at 32 px; leave out --data"),
    ("judges", {"data": "folder"}, "the judges are trained on scenes at 32 px; leave out --data"),
    ("judges", {"seed": 1000}, "--seed must be from 0 to 999 for judges, got 1000"),
    *((kind, {"seed": 5000}, "--seed must be from 0 to 2047") for kind in ("gan", "text")),
]


@pytest.mark.parametrize(("kind", "changes", "says"), REFUSED)
def test_bad_requests_write_nothing(
    empty_folder: Path, kind: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError) as refused:
        TRAININGS[kind].train(request(Path("out"), **changes))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_too_few_pictures_write_nothing(pictures: Path, tmp_path: Path, kind: str) -> None:
    asked = request(tmp_path / "out", data=str(pictures), resolution=16, batch_size=7)
    with pytest.raises(RequestError, match="has 6 images, fewer than a batch of 7; add images"):
        TRAININGS[kind].train(asked)
    assert not (tmp_path / "out").exists()


def test_a_gan_that_diverges_ends_with_an_error(gan_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(gan_folder, out)
    (out / CHECKPOINT).unlink()
    (out / "model.safetensors").unlink()
    recipe = gan.GanRecipe(lr=1e20, lr_end=1e20, d_warmup=0.0)
    with pytest.raises(RequestError, match=r"training the GAN became non-finite \(.* = (nan|inf)"):
        gan.train(request(out, minutes=1.0), recipe)
    assert not (out / "model.safetensors").exists()


def test_the_recipe_is_recorded(gan_folder: Path) -> None:
    recipe = read(gan_folder)["recipe"]
    assert recipe == json.loads(json.dumps(dataclasses.asdict(gan.GanRecipe())))
