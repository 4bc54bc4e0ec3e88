"""Generators of the same weights: one thing in memory, and nothing passes from one to the other."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from gandiff.common.errors import GeneratorError
from gandiff.common.validation import validate
from gandiff.models import shared as sharing
from gandiff.models.diffusion import loading
from gandiff.models.diffusion.cascade import open_generator
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import PER_CALL, DiffusersSettings
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.gan.model import TextToImageGan
from gandiff.models.generator import Generator
from gandiff.models.settings import GanSettings

POINTS: dict[str, dict[str, Any]] = {
    "own": {},
    "euler": {"scheduler": "euler", "scheduler_options": {"use_karras_sigmas": True}},
    "sde": {"scheduler": "sde-dpmsolver++", "num_inference_steps": 5},
    "spaced": {"scheduler_options": {"timestep_spacing": "trailing"}, "guidance_scale": 2.0},
}


def diffusers(pipeline: Path, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 3, "guidance_scale": 1.0, **settings}
    return DiffusersGenerator("toy", DiffusersSettings(pipeline=str(pipeline), **chosen))


def gan(weights: Path, psi: float = 1.0) -> GanGenerator:
    return GanGenerator("toy", GanSettings(weights=str(weights), truncation_psi=psi))


def pixels(generator: Generator) -> np.ndarray:
    made = generator.generate(toys.requests(2, negative=(1,)))
    return np.stack([one.image for one in made if one.image is not None])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read from the disk, in order."""
    read: list[str] = []
    pipeline, folder = loading.load_pipeline, TextToImageGan.from_folder

    def load_pipeline(source: str, *rest: Any, **more: Any) -> Any:
        read.append("pipeline")
        return pipeline(source, *rest, **more)

    def from_folder(path: Path) -> TextToImageGan:
        read.append("gan")
        return folder(path)

    monkeypatch.setattr(loading, "load_pipeline", load_pipeline)
    monkeypatch.setattr(TextToImageGan, "from_folder", from_folder)
    return read


def test_operating_points_give_what_each_gives_alone_in_any_order(
    toy_pipeline: Path, loads: list[str]
) -> None:
    alone = {}
    for name, settings in POINTS.items():
        generator = diffusers(toy_pipeline, **settings)
        generator.load()
        alone[name] = pixels(generator)
        generator.unload()
    assert len(loads) == len(POINTS)
    assert len({image.tobytes() for image in alone.values()}) == len(POINTS)
    for order in itertools.permutations(POINTS, 2):
        generators = {name: diffusers(toy_pipeline, **POINTS[name]) for name in order}
        for generator in generators.values():
            generator.load()
        for name in (*order, order[0]):
            np.testing.assert_array_equal(pixels(generators[name]), alone[name])
        loads.clear()
        for generator in generators.values():
            assert generator.trace(toys.requests(1)[0], [1.0])
    assert not loads


def test_a_call_that_fails_leaves_the_pipe_as_it_was_loaded(toy_pipeline: Path) -> None:
    first, second = diffusers(toy_pipeline, **POINTS["euler"]), diffusers(toy_pipeline)
    second.load()
    expected = pixels(second)
    first.load()

    def fail(*given: Any, **more: Any) -> Any:
        raise RuntimeError("no more")

    with first._ready() as pipe:
        hook = pipe.unet.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="no more"):
        first.generate(toys.requests(1))
    hook.remove()
    np.testing.assert_array_equal(pixels(second), expected)
    with pytest.raises(GeneratorError, match="cannot make 5,000 steps"):
        diffusers(toy_pipeline, scheduler="lcm", num_inference_steps=5000).load()
    np.testing.assert_array_equal(pixels(second), expected)


def test_the_gan_shares_its_networks_and_not_its_truncation(
    toy_gan: Path, loads: list[str]
) -> None:
    near, far = gan(toy_gan, 0.2), gan(toy_gan)
    near.load()
    alone = pixels(near)
    far.load()
    assert (pixels(far) != alone).any()
    np.testing.assert_array_equal(pixels(near), alone)
    assert loads == ["gan"]


def test_the_last_one_that_lets_go_frees_the_memory(toy_pipeline: Path) -> None:
    first, second = diffusers(toy_pipeline), diffusers(toy_pipeline, num_inference_steps=4)
    first.load()
    second.load()
    with first._ready() as pipe:
        there = weakref.ref(pipe)
    del pipe
    first.unload()
    first.unload()
    assert there() is not None
    assert pixels(second).shape == (2, 32, 32, 3)
    second.unload()
    assert there() is None
    with pytest.raises(GeneratorError, match="not loaded"):
        first.generate(toys.requests(1))


def test_one_that_is_forgotten_keeps_nothing(toy_gan: Path) -> None:
    generator = gan(toy_gan)
    generator.load()
    there = weakref.ref(generator._shared.value) if generator._shared else None
    assert there is not None
    del generator
    gc.collect()
    assert there() is None


def test_what_is_kept_is_read_once(toy_gan: Path, loads: list[str]) -> None:
    first, second = gan(toy_gan, 0.5), gan(toy_gan)
    with sharing.kept(first.sharing_key("cpu", "float32")):
        for generator in (first, second, first):
            generator.load()
            generator.unload()
    assert loads == ["gan"]
    first.load()
    with sharing.apart():
        second.load()
    assert loads == ["gan"] * 3


@pytest.mark.parametrize("change", [{"variant": "fp16"}, {"allow_pickle": True}, {"dtype": "x"}])
def test_what_decides_the_weights_is_not_shared(
    toy_pipeline: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    settings = {k: v for k, v in change.items() if k != "dtype"}
    one = diffusers(toy_pipeline)
    other = object.__new__(DiffusersGenerator)
    other.__dict__ = {**one.__dict__, "_settings": DiffusersSettings(pipeline="p", **settings)}
    dtype = change.get("dtype", "float32")
    assert other.sharing_key("cpu", dtype) != one.sharing_key("cpu", "float32")
    assert one.sharing_key("cpu", "float32") != one.sharing_key("cuda", "float32")


def test_settings_of_a_call_are_settings() -> None:
    assert {field.name for field in dataclasses.fields(DiffusersSettings)} >= PER_CALL


def test_weights_that_have_changed_are_read_again(
    toy_pipeline_copy: Path, loads: list[str]
) -> None:
    first = diffusers(toy_pipeline_copy)
    first.load()
    file = next(toy_pipeline_copy.glob("unet/*.safetensors"))
    file.write_bytes(file.read_bytes())
    second = diffusers(toy_pipeline_copy)
    second.load()
    assert loads == ["pipeline"] * 2


def test_a_file_that_a_setting_names_is_part_of_the_key(tmp_path: Path) -> None:
    lora = tmp_path / "lora.safetensors"
    lora.write_bytes(b"one")
    settings = {"loras": [{"path": str(lora), "weight": 0.5}], "steps": 4}

    def key(**changes: Any) -> object:
        return sharing.sharing_key("k", {**settings, **changes}, {"steps"})

    before = key()
    assert key(steps=9) == before == key()
    assert key(loras=[{"path": str(lora), "weight": 0.6}]) != before
    assert key(other=1) != key(other="1") != before
    lora.write_bytes(b"two")
    assert key() != before


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["sdxl", "lcm", "sd3", "flux", "kandinsky-2.2", "if", "sd-zero-snr", "qwen-image", "sana"],
)
def test_no_family_passes_anything_on(
    toy_family: Callable[[str], dict[str, Any]], family: str
) -> None:
    base = toy_family(family)
    points = [{**base, "num_inference_steps": steps} for steps in (2, 3)]
    if "stages" not in base:
        points[1]["guidance_scale"] = 2.5

    def build(point: dict[str, Any]) -> Generator:
        made = open_generator("toy", validate(DiffusersSettings, point))
        made.load()
        return made

    alone = [pixels(build(point)) for point in points]
    assert (alone[0] != alone[1]).any()
    for order in ((0, 1), (1, 0)):
        together = {i: build(points[i]) for i in order}
        for i in (*order, order[0]):
            np.testing.assert_array_equal(pixels(together[i]), alone[i])
