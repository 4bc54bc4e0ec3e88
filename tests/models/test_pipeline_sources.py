"""Directories and hub ids that cannot be used are refused early, with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file

from gandiff.common.errors import GeneratorError
from gandiff.models import weights
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generator

COMMIT = "c0ffee" + "0" * 34
UNET = "unet/diffusion_pytorch_model.safetensors"


def make(pipeline: object, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 2, "guidance_scale": 1.0, **settings}
    return DiffusersGenerator(
        name="toy", settings=DiffusersSettings(pipeline=str(pipeline), **chosen)
    )


def image(generator: Generator) -> np.ndarray:
    generator.load()
    found = generator.generate(toys.requests(1))[0].image
    assert found is not None
    return found


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickle_unet(folder: Path) -> None:
    torch.save(load_file(folder / UNET), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def list_shards(folder: Path) -> None:
    listing = {"metadata": {}, "weight_map": {"a": "part-1.safetensors"}}
    path = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps(listing))


def class_name(name: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "model_index.json", _class_name=name)


def without_text(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for part in ("tokenizer", "text_encoder"):
        del index[part]
    index["_class_name"] = "DDPMPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))


BREAK: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json; expected"),
    "index is a list": (
        lambda f: (f / "model_index.json").write_text("[]"),
        "holds list, expected",
    ),
    "torn index": (lambda f: (f / "model_index.json").write_text("{"), "is not valid JSON"),
    "no class": (class_name(None), "has no _class_name"),
    "own code": (class_name(["my_pipeline", "Mine"]), "brings its own Python code (my_pipeline)"),
    "inpainting class": (
        class_name("PaintByExamplePipeline"),
        "holds a PaintByExamplePipeline, which fills a masked part of an image; expected",
    ),
    "upscaler": (class_name("StableDiffusionUpscalePipeline"), "which enlarges an image"),
    "unknown class": (
        class_name("NoSuchPipeline"),
        f"was saved by diffusers {version('diffusers')} and holds a NoSuchPipeline, which the "
        f"installed diffusers {version('diffusers')} does not have; install one that has it",
    ),
    "video": (class_name("TextToVideoSDPipeline"), "which makes videos"),
    "no text": (without_text, "holds a DDPMPipeline, which has no text encoder and makes images"),
    "nine channels": (
        lambda f: edit(f / "unet" / "config.json", in_channels=9),
        "takes 9 channels where the latents have 4, so it is a model for inpainting",
    ),
    "no part": (lambda f: shutil.rmtree(f / "vae"), "vae is missing: model_index.json names it"),
    "no weights": (
        lambda f: (f / UNET).unlink(),
        "has no weights: there is no .safetensors file (such as diffusion_pytorch_model",
    ),
    "pickle": (pickle_unet, "is a pickle file, and reading one can run any code"),
    "torn weights": (
        lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:9000]),
        "diffusion_pytorch_model.safetensors cannot be read: it is not a whole file of weights",
    ),
    "missing shard": (list_shards, "part-1.safetensors is missing"),
}


@pytest.mark.parametrize("case", BREAK)
def test_bad_directories_are_refused_before_loading(toy_pipeline_copy: Path, case: str) -> None:
    damage, message = BREAK[case]
    damage(toy_pipeline_copy)
    with pytest.raises(GeneratorError) as caught:
        make(toy_pipeline_copy)
    assert message in str(caught.value)
    assert str(toy_pipeline_copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_real_unconditional_pipeline_is_refused(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8,
        layers_per_block=1,
        norm_num_groups=4,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
    )
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(GeneratorError, match="DDPMPipeline, which has no text encoder"):
        make(tmp_path)


def forget(name: str, key: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = load_file(folder / name)
        (whole,) = (one for one in weights if one.endswith(key))  # transformers may add a prefix
        del weights[whole]
        save_file(weights, folder / name, metadata={"format": "pt"})

    return damage


TEXT = "text_encoder/model.safetensors"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (forget(UNET, "conv_out.weight"), "lack some weights of its networks: they are torn"),
        (
            forget(TEXT, "final_layer_norm.bias"),
            "final_layer_norm.bias: they are torn",
        ),
        (lambda f: edit(f / "unet" / "config.json", block_out_channels=[16, 64]), "cannot load"),
        (lambda f: (f / "unet" / "config.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_what_only_loading_finds_is_one_line_too(
    toy_pipeline_copy: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(toy_pipeline_copy)
    with pytest.raises(GeneratorError) as caught:
        make(toy_pipeline_copy).load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_are_read_if_allowed(toy_pipeline: Path, toy_pipeline_copy: Path) -> None:
    pickle_unet(toy_pipeline_copy)
    generator = make(toy_pipeline_copy, allow_pickle=True)
    np.testing.assert_array_equal(image(generator), image(make(toy_pipeline)))


def test_image_to_image_checkpoints_hold_text_to_image_weights(
    toy_pipeline: Path, toy_pipeline_copy: Path
) -> None:
    class_name("StableDiffusionImg2ImgPipeline")(toy_pipeline_copy)
    np.testing.assert_array_equal(image(make(toy_pipeline_copy)), image(make(toy_pipeline)))


def test_variants(toy_pipeline: Path, toy_pipeline_copy: Path) -> None:
    with pytest.raises(GeneratorError, match="no weights of the variant 'fp16'; it has diffusion"):
        make(toy_pipeline_copy, variant="fp16")
    changed = load_file(toy_pipeline_copy / UNET)
    changed["conv_out.weight"] *= 2
    path = toy_pipeline_copy / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    save_file(changed, path, metadata={"format": "pt"})
    assert (image(make(toy_pipeline_copy, variant="fp16")) != image(make(toy_pipeline))).any()


def test_a_shipped_name_is_found(toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PRETRAINED", toy_pipeline.parent)
    np.testing.assert_array_equal(image(make(toy_pipeline.name)), image(make(toy_pipeline)))
    with pytest.raises(GeneratorError, match=r"did you mean 'toy-pipeline'\?"):
        make("toy-pipelin")


def test_a_path_that_is_nowhere(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none"), "./none/here", "a/b/c"):
        with pytest.raises(GeneratorError, match="no weights at"):
            make(name)


def test_a_hub_id_that_is_not_cached_says_what_is_missing() -> None:
    with pytest.raises(GeneratorError) as caught:
        make("some-org/some-model").load()
    text = str(caught.value)
    assert "cannot get model_index.json of the hub pipeline 'some-org/some-model'" in text
    assert "give the path of a directory" in text
    with pytest.raises(GeneratorError, match=r"cannot get model_index\.json"):
        make("some-org/some-model", local_files_only=True)


@pytest.fixture
def hub_cache(toy_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache as the hub's client fills it, with the toy as ``toy-org/toy`` at one commit."""
    from huggingface_hub import constants

    repo = tmp_path / "models--toy-org--toy"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    shutil.copytree(toy_pipeline, repo / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return repo / "snapshots" / COMMIT


@pytest.mark.parametrize("local_files_only", [True, False])
def test_a_cached_hub_id_loads_offline(
    hub_cache: Path, toy_pipeline: Path, local_files_only: bool
) -> None:
    generator = make("toy-org/toy", local_files_only=local_files_only)
    np.testing.assert_array_equal(image(generator), image(make(toy_pipeline)))
    info = generator.info
    assert info.weights_sha256 == "hub:" + COMMIT
    assert info.source == "https://huggingface.co/toy-org/toy"
    assert info.resolution == 32


def test_a_cached_hub_id_of_another_task_is_refused(hub_cache: Path) -> None:
    class_name("StableDiffusionUpscalePipeline")(hub_cache)
    with pytest.raises(GeneratorError, match="hub pipeline 'toy-org/toy' holds a StableDiffusionU"):
        make("toy-org/toy", local_files_only=True)
