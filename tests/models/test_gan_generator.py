"""The GAN behind the contract: what it says of itself, and of folders that do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from gandiff.common.errors import GeneratorError
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import GenerationRequest
from gandiff.models.settings import GanSettings


def make(folder: Path, **settings: Any) -> GanGenerator:
    return GanGenerator(name="toy", settings=GanSettings(weights=str(folder), **settings))


def loaded(folder: Path, **settings: Any) -> GanGenerator:
    generator = make(folder, **settings)
    generator.load("cpu", "float32")
    return generator


def images(generator: GanGenerator, requests: list[GenerationRequest]) -> np.ndarray:
    made = [generation.image for generation in generator.generate(requests)]
    return np.stack([image for image in made if image is not None])


@pytest.fixture
def folder(toy_gan: Path, tmp_path: Path) -> Path:
    """A toy GAN that one test may break."""
    return Path(shutil.copytree(toy_gan, tmp_path / "gan"))


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_the_same_noise_is_truncated_towards_its_mean(toy_gan: Path) -> None:
    same_text = [GenerationRequest(prompt="a red star", seed=seed) for seed in range(4)]
    same_seed = [GenerationRequest(prompt=prompt, seed=0) for prompt in toys.PROMPTS[:4]]
    spread = [images(loaded(toy_gan, truncation_psi=psi), same_text) for psi in (0.0, 0.5, 1.0)]
    assert (spread[0] == spread[0][:1]).all()
    assert spread[1].std(0).mean() < spread[2].std(0).mean()
    assert len(np.unique(images(loaded(toy_gan, truncation_psi=0.0), same_seed), axis=0)) == 4


def test_info_before_and_after_loading(toy_gan: Path) -> None:
    generator = make(toy_gan, truncation_psi=0.7)
    assert (generator.info.family, generator.info.resolution) == ("gan", 32)
    assert generator.info.parameters is None
    assert generator.info.settings == {
        "weights": str(toy_gan),
        "truncation_psi": 0.7,
        "inversion_steps": 100,
        "inversion_candidates": 256,
        "units": None,
    }
    assert generator.info.abilities == {"text_to_image", "image_to_image", "inpaint", "paint"}
    generator.load("cpu", "float32")
    assert generator.info.parameters > 0
    assert generator.info.conditioning == "CLIP text transformer, 32 wide"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("t5", "T5 encoder, 32 wide"),
        ("clip", "CLIP text transformer, 32 wide"),
        ("bert", "text encoder, 32 wide"),
    ],
)
def test_info_names_the_kind_of_text_encoder(folder: Path, kind: str, says: str) -> None:
    (folder / "text_encoder" / "config.json").write_text(json.dumps({"model_type": kind}))
    assert make(folder).info.conditioning == says


def test_info_has_the_training_record(folder: Path) -> None:
    record = {"seconds": 12.5, "images": 640, "device": "cpu", "command": "gandiff train gan"}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A toy\n")
    info = make(folder).info
    assert (info.training_seconds, info.training_images, info.training_device) == (12.5, 640, "cpu")
    assert info.training == record
    assert info.licence == "apache-2.0"


def test_long_prompts_and_negative_ones_are_told(toy_gan: Path) -> None:
    asked = [
        GenerationRequest(prompt=" ".join(["star"] * 20), seed=0),
        GenerationRequest(prompt="a star", seed=0, negative_prompt="a ring"),
        GenerationRequest(prompt="a star", seed=0),
    ]
    long, negative, plain = loaded(toy_gan).generate(asked)
    assert dict(long.truncated_tokens) == {"text_encoder": 6}
    assert dict(plain.truncated_tokens) == {}
    assert negative.reason == "negative prompt not used: a GAN has none"
    assert (plain.reason, plain.nfe) == (None, 1)
    assert negative.status == "ok"
    np.testing.assert_array_equal(negative.image, plain.image)


def test_it_also_runs_in_bfloat16(toy_gan: Path) -> None:
    generator = make(toy_gan)
    generator.load("cpu", "bfloat16")
    asked = toys.requests(2)
    exact = images(loaded(toy_gan), asked).astype(int)
    assert np.abs(images(generator, asked).astype(int) - exact).mean() < 12


def test_it_must_be_loaded(toy_gan: Path) -> None:
    generator = make(toy_gan)
    with pytest.raises(GeneratorError, match=r"toy is not loaded; call load\(\) first"):
        generator.generate(toys.requests(1))
    generator.load("cpu", "float32")
    generator.unload()
    with pytest.raises(GeneratorError, match="toy is not loaded"):
        generator.generate(toys.requests(1))


def test_unknown_number_formats_are_refused(toy_gan: Path) -> None:
    with pytest.raises(
        GeneratorError, match="no number format is named 'float31'; use float32, bfloat16"
    ):
        make(toy_gan).load("cpu", "float31")


Breaking = Callable[[Path], object]
WHEN_BUILT: dict[str, tuple[Breaking, str]] = {
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        r"gan has no model.safetensors; a GAN is a folder that 'gandiff train gan' wrote",
    ),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        r"gan has no config.json; a GAN is a folder",
    ),
    "another model": (
        lambda folder: change_config(folder, model="gandiff.diffusion"),
        r"says model 'gandiff.diffusion', must be 'gandiff.gan'; for a diffusers pipeline",
    ),
    "no model": (lambda folder: change_config(folder, model=None), "says model None, must be"),
    "no resolution": (
        lambda folder: change_config(folder, resolution=None),
        "config.json is missing the number 'resolution'",
    ),
    "no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json cannot be read: it is not valid JSON",
    ),
    "half a file": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x10\0\0\0"),
        r"model\.safetensors cannot be read",
    ),
    "no tokenizer": (
        lambda folder: shutil.rmtree(folder / "tokenizer"),
        r"gan/tokenizer has no vocabulary",
    ),
    "half the text weights": (
        lambda folder: (folder / "text_encoder" / "model.safetensors").write_bytes(b"\x10\0\0\0"),
        r"gan/text_encoder/model\.safetensors cannot be read",
    ),
}
WHEN_LOADED: dict[str, tuple[Breaking, str]] = {
    "another width": (
        lambda folder: change_config(folder, z_width=24),
        r"do not fit its config.json: Error.* size mismatch",
    ),
    "another resolution": (
        lambda folder: change_config(folder, resolution=48),
        r"do not fit its config.json: resolution must be a power of two",
    ),
    "an unknown field": (
        lambda folder: change_config(folder, colour="red"),
        r"do not fit its config.json: .*colour",
    ),
    "no text weights": (
        lambda folder: (folder / "text_encoder" / "model.safetensors").unlink(),
        r"the text encoder or tokenizer in .*gan cannot be read",
    ),
}


def refusal(call: Callable[[], object], match: str) -> None:
    with pytest.raises(GeneratorError, match=match) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("case", WHEN_BUILT)
def test_folders_that_are_no_gan_are_refused_when_built(folder: Path, case: str) -> None:
    harm, says = WHEN_BUILT[case]
    harm(folder)
    refusal(lambda: make(folder), says)


@pytest.mark.parametrize("case", WHEN_LOADED)
def test_folders_that_do_not_fit_are_refused_when_loaded(folder: Path, case: str) -> None:
    harm, says = WHEN_LOADED[case]
    harm(folder)
    generator = make(folder)
    refusal(lambda: generator.load("cpu", "float32"), says)
    refusal(lambda: generator.generate(toys.requests(1)), "toy is not loaded")


def test_a_text_encoder_of_another_width_is_refused(folder: Path) -> None:
    from gandiff.models.text import TextEncoder, build_text_encoder

    _, tokenizer = toys.build_text()
    wider = build_text_encoder(tokenizer, width=48, layers=1, heads=2)
    TextEncoder(wider, tokenizer).save_pretrained(folder)
    refusal(
        lambda: make(folder).load("cpu", "float32"),
        r"the text encoder is 48 wide, config.json says text_width 32",
    )


def test_weights_that_are_nowhere_are_refused(tmp_path: Path) -> None:
    refusal(lambda: make(tmp_path / "gone"), r"no weights at '.*gone'")
