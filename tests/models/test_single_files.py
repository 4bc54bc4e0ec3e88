"""Pipelines that are one file of weights in the layout of their authors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import save_file

from gandiff.common.errors import GeneratorError, SettingError
from gandiff.common.validation import validate
from gandiff.models.diffusion.cascade import open_generator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generator

Weights = dict[str, torch.Tensor]

# Names in diffusers, and in the layout of latent diffusion, inside of blocks.
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    r"time_embedding\.linear_1": "time_embed.0",
    r"time_embedding\.linear_2": "time_embed.2",
    r"conv_in": "input_blocks.0.0",
    r"conv_norm_out": "out.0",
    r"conv_out": "out.2",
    r"mid_block\.resnets\.0": "middle_block.0",
    r"mid_block\.attentions\.0": "middle_block.1",
    r"mid_block\.resnets\.1": "middle_block.2",
}
_VAE = {
    r"mid_block\.resnets\.(\d)": lambda m: f"mid.block_{int(m[1]) + 1}",
    r"conv_norm_out": "norm_out",
    r"conv_shortcut": "nin_shortcut",
    r"down_blocks\.(\d)\.resnets\.(\d)": r"down.\1.block.\2",
    r"down_blocks\.(\d)\.downsamplers\.0": r"down.\1.downsample",
    r"up_blocks\.(\d)\.resnets\.(\d)": lambda m: f"up.{2 - int(m[1])}.block.{m[2]}",
    r"up_blocks\.(\d)\.upsamplers\.0": lambda m: f"up.{2 - int(m[1])}.upsample",
}


def single_file(pipe: Any, path: Path) -> Path:
    """Save the weights of a toy Stable Diffusion as Stable Diffusion's authors do."""
    weights = {f"model.diffusion_model.{k}": t for k, t in _unet(pipe.unet.state_dict()).items()}
    for key, tensor in pipe.vae.state_dict().items():
        for old, new in _VAE.items():
            key = re.sub(old, new, key)
        weights[f"first_stage_model.{key}"] = tensor
    for key, tensor in pipe.text_encoder.state_dict().items():
        inner = key.removeprefix("text_model.")
        weights[f"cond_stage_model.transformer.text_model.{inner}"] = tensor
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, path)
    return path


def _unet(state: Weights) -> Weights:
    renamed = {}
    for key, tensor in state.items():
        name = key
        for old, new in _UNET.items():
            name = re.sub(f"^{old}", new, name)
        if match := re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name):
            name = _block(match)
        if ".transformer_blocks." not in name:
            for old, new in _RESNET.items():
                name = re.sub(
                    rf"(blocks?\.\d+\.\d+|middle_block\.\d)\.{old}\.", rf"\1.{new}.", name
                )
        renamed[name] = tensor
    return renamed


def _block(match: re.Match[str]) -> str:
    """Two levels with one layer each: two layers on the way up, and one step between the levels."""
    way, level, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if way == "down":
        if kind == "downsamplers":
            return f"input_blocks.{2 * level + 2}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{2 * level + 1}.{int(kind == 'attentions')}.{rest}"
    if kind == "upsamplers":
        return f"output_blocks.{2 * level + 1}.{2 - level}.{rest}"
    return f"output_blocks.{2 * level + layer}.{int(kind == 'attentions')}.{rest}"


def make(pipeline: object, **settings: Any) -> Generator:
    given = {"num_inference_steps": 2, "guidance_scale": 2.0, "pipeline": str(pipeline), **settings}
    return open_generator("toy", validate(DiffusersSettings, given))


def image(generator: Generator) -> np.ndarray:
    generator.load()
    made = generator.generate(toys.requests(1))[0]
    assert made.image is not None, made.reason
    return made.image


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single_file(toys.build_pipeline(), tmp_path_factory.mktemp("single") / "sd.safetensors")


@pytest.fixture
def config(toy_pipeline: Path, tmp_path: Path) -> Path:
    """The small files of a pipeline without its weights."""
    ignore = shutil.ignore_patterns("*.safetensors")
    return Path(shutil.copytree(toy_pipeline, tmp_path / "config", ignore=ignore))


def test_a_single_file_draws_what_the_whole_pipeline_draws(
    toy_pipeline: Path, checkpoint: Path, config: Path
) -> None:
    generator = make(checkpoint, config=str(config))
    np.testing.assert_array_equal(image(generator), image(make(toy_pipeline)))
    whole = make(toy_pipeline)
    whole.load()
    assert generator.info.parameters == whole.info.parameters
    assert generator.info.resolution == 32
    assert generator.info.weights_sha256 is not None


def test_a_network_in_the_layout_of_the_authors(toy_pipeline: Path, checkpoint: Path) -> None:
    other = single_file(toys.build_pipeline(seed=5), checkpoint.with_name("other.safetensors"))
    unet = toys.build_pipeline(seed=5).unet
    unet.save_pretrained(checkpoint.parent / "unet")
    drawn = image(make(toy_pipeline, unet=str(checkpoint.parent / "unet")))
    np.testing.assert_array_equal(image(make(toy_pipeline, unet=str(other))), drawn)


def test_a_single_file_says_what_is_missing(
    toy_pipeline: Path, checkpoint: Path, config: Path, tmp_path: Path
) -> None:
    with pytest.raises(GeneratorError, match=r"does not say what it is; give as config the dir"):
        make(checkpoint)
    with pytest.raises(GeneratorError, match="there is no file of weights at"):
        make(tmp_path / "none.safetensors", config=str(config))
    with pytest.raises(GeneratorError, match="no weights at"):
        make(checkpoint, config=str(tmp_path / "none"))
    with pytest.raises(SettingError, match="config belongs to a pipeline that is a single file"):
        make(toy_pipeline, config=str(config))
    with pytest.raises(SettingError, match="prior belongs to a pipeline that is a directory"):
        make(checkpoint, config=str(config), prior=str(config))
    (tmp_path / "torn.safetensors").write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(GeneratorError, match=r"torn\.safetensors cannot be read"):
        make(tmp_path / "torn.safetensors", config=str(config))


@pytest.mark.parametrize("lost", ["out.2.weight", "cond_stage_model", "first_stage_model"])
def test_a_single_file_without_a_part_is_refused(
    checkpoint: Path, config: Path, tmp_path: Path, lost: str
) -> None:
    from safetensors.torch import load_file

    kept = {key: tensor for key, tensor in load_file(checkpoint).items() if lost not in key}
    save_file(kept, tmp_path / "part.safetensors")
    generator = make(tmp_path / "part.safetensors", config=str(config))
    with pytest.raises(GeneratorError) as caught:
        generator.load()
    assert "\n" not in str(caught.value)
    assert "part.safetensors" in str(caught.value)
