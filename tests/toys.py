"""Tiny real generators for tests: random weights, saved and loaded by the libraries themselves.

A pytest plugin: tests take the fixtures, or import the builders (``import toys``).
"""

from __future__ import annotations

import colorsys
import json
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gandiff.models.generator import GenerationRequest

PROMPTS = (
    "a red star left of a blue ring",
    "a small green heart",
    "a circle on a sandy background",
    "two purple crosses",
    "a yellow crescent above a pink square",
    "a triangle",
    "a large cyan circle below an orange star",
    "a blue square on black",
)


def requests(count: int, negative: Sequence[int] = ()) -> list[GenerationRequest]:
    """Return different requests; those at the places ``negative`` have a negative prompt."""
    return [
        GenerationRequest(
            prompt=PROMPTS[i % len(PROMPTS)],
            seed=1000 + 7 * i,
            negative_prompt="blurry red things" if i in negative else None,
            prompt_id=f"p-{i:03d}",
        )
        for i in range(count)
    ]


def edit_pictures(side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """An init image, a mask of its left half and a control image, ``side`` px wide and high."""
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 255
    init, control = (random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(2))
    return {"init_image": init, "mask": mask, "control_image": control}


def build_text(seed: int = 0) -> tuple[Any, Any]:
    """Return a small CLIP text model with random weights and its tokenizer of 16 tokens at most."""
    import torch

    from gandiff.models.text import build_text_encoder
    from gandiff.models.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(PROMPTS * 2, max_tokens=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_text_encoder(tokenizer, width=32, layers=1, heads=2), tokenizer


def build_pipeline(seed: int = 0, **changes: Any) -> Any:
    """Build a 32 px ``StableDiffusionPipeline`` of random weights; ``changes`` go to its U-Net."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )

    text_encoder, tokenizer = build_text(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            sample_size=32,
            latent_channels=4,
            block_out_channels=(8, 8, 16),
            norm_num_groups=4,
            mid_block_add_attention=False,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
        )
        unet_options: dict[str, Any] = {
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "block_out_channels": (16, 32),
            "cross_attention_dim": 32,
            "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        }
        unet = UNet2DConditionModel(**{**unet_options, **changes})
        _strengthen(vae, unet)
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _strengthen(vae: Any, unet: Any) -> None:
    """Make random weights draw something: contrast in the pixels, and prompts that matter."""
    import torch

    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(1.5)
        for name, weight in unet.named_parameters():
            if ".attn2.to_" in name and name.endswith("weight"):
                weight.mul_(6.0)


def save_toy_pipeline(folder: Path) -> Path:
    """Save a toy ``StableDiffusionPipeline`` to ``folder``, a directory that need not exist."""
    build_pipeline().save_pretrained(folder)
    return folder


def save_toy_gan(folder: Path, seed: int = 0) -> Path:
    """Save a 32 px text-conditioned GAN with random weights to ``folder``."""
    import torch

    from gandiff.models.gan.config import GanConfig
    from gandiff.models.gan.model import TextToImageGan
    from gandiff.models.gan.synthesis import GeneratorNetwork
    from gandiff.models.text import TextEncoder

    config = GanConfig(
        text_width=32, z_width=16, style_width=32, g_widths=(32, 24, 16, 8), d_widths=(16, 16, 8)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GeneratorNetwork(config)
    TextToImageGan(network, TextEncoder(*build_text(seed))).save_pretrained(folder)
    return folder


def save_toy_units(folder: Path, others: Sequence[str] = ("star",)) -> Path:
    """Save a dissection of the toy GAN in a folder: an object is what is bright, and the prompts of
    the other concepts are every second one.
    """
    from gandiff.common.files import file_sha256
    from gandiff.models.gan.dissection import dissect
    from gandiff.models.gan.model import TextToImageGan
    from gandiff.models.gan.units import UNITS, write_units

    gan: TextToImageGan = TextToImageGan.from_pretrained(str(folder))
    concepts = {"object": np.ones(24, bool)}
    concepts |= {name: np.arange(24) % 2 == 0 for name in others}
    units = dissect(
        gan,
        [PROMPTS[i % 8] for i in range(24)],
        concepts,
        lambda drawn: (drawn.mean(3) > drawn.mean()).astype(np.float32),
        file_sha256(folder / "model.safetensors"),
    )
    write_units(folder / UNITS, units)
    return folder


def save_toy_inception(path: Path) -> Path:
    """Save the FID network with random weights, in the format of its owner's file."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as owner

    class Blank(owner.FeatureExtractorInceptionV3):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            pass

    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Blank("blank", ["2048"], feature_extractor_weights_path=path)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):  # torch's own would fade over 48 layers
                torch.nn.init.kaiming_normal_(module.weight)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), path)
    return path


def toy_image(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """Return a noisy colour, another one for each seed; ``size`` is width, height in px."""
    random = np.random.default_rng(seed)
    colour = np.array(colorsys.hsv_to_rgb(random.random(), 0.8, 0.9)) * 255
    noise = random.normal(0, 25, (size[1], size[0], 3))
    return Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))


def _exif(tag: int, kind: int, value: bytes) -> bytes:
    """An EXIF block that turns the picture by 90 degrees and holds one value more."""
    entries = ((0x0112, 3, b"\0\6\0\0"), (tag, kind, value))
    packed = b"".join(struct.pack(">HHI4s", t, k, 1, v) for t, k, v in sorted(entries))
    return b"Exif\0\0MM\0*\0\0\0\x08\0\2" + packed + bytes(4)


# Values of a type that their tags cannot have; PIL raises another error for each.
BROKEN_EXIF = {
    "width as text": _exif(0x0100, 2, b"x\0\0\0"),
    "maker as a number": _exif(0x010F, 11, bytes(4)),
    "resolution as text": _exif(0x011A, 2, b"x\0\0\0"),
}


def save_toy_images(folder: Path, names: Sequence[str]) -> Path:
    """Save one toy image under each name and return the folder."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        toy_image(seed).save(path)
    return folder


def save_captioned(folder: Path, images: Sequence[np.ndarray], captions: Sequence[str]) -> Path:
    """Save PNGs and ``metadata.jsonl`` by Hugging Face's imagefolder convention."""
    folder.mkdir(parents=True)
    lines = []
    for i, (image, text) in enumerate(zip(images, captions, strict=True)):
        Image.fromarray(image).save(folder / f"{i:06d}.png")
        lines.append(json.dumps({"file_name": f"{i:06d}.png", "text": text}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def toy_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved toy pipeline that all tests share: read it, change a copy."""
    return save_toy_pipeline(tmp_path_factory.mktemp("toys") / "toy-pipeline")


@pytest.fixture(scope="session")
def toy_gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved toy GAN that all tests share."""
    return save_toy_gan(tmp_path_factory.mktemp("toys") / "toy-gan")


@pytest.fixture(scope="session")
def toy_painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved toy GAN with a dissection of its units, that all tests share."""
    return save_toy_units(save_toy_gan(tmp_path_factory.mktemp("toys") / "toy-painter"))


@pytest.fixture
def toy_pipeline_copy(toy_pipeline: Path, tmp_path: Path) -> Path:
    """A toy pipeline that one test may break."""
    return Path(shutil.copytree(toy_pipeline, tmp_path / "pipeline"))


@pytest.fixture
def toy_folder(tmp_path: Path) -> Path:
    """A folder with one image for each of the first eight toy requests."""
    return save_toy_images(tmp_path / "images", [f"p-{i:03d}_0.png" for i in range(8)])
