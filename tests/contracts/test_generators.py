"""What every generator promises, run over all types that can be built here."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from gandiff.models.callable import CallableGenerator
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.folder import FolderGenerator
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import Generation, GenerationRequest, Generator, Task
from gandiff.models.settings import FolderSettings, GanSettings
from gandiff.models.tasks import SOURCES, TASKS
from gandiff.models.weights import PRETRAINED

COUNT = 8
Build = Callable[[], Generator]


def toy_function(prompts: list[str], seeds: list[int]) -> np.ndarray:
    """Draw one noisy image for each seed, tinted by the length of the prompt."""
    return np.stack(
        [
            np.random.default_rng([seed, len(prompt)]).random((32, 32, 3)).astype(np.float32)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
    )


def _diffusers(pipeline: str, **settings: object) -> Generator:
    chosen = {"num_inference_steps": 4, "guidance_scale": 2.0, **settings}
    return DiffusersGenerator(name="toy", settings=DiffusersSettings(pipeline=pipeline, **chosen))


def _gan(weights: str) -> Generator:
    return GanGenerator(name="toy", settings=GanSettings(weights=weights))


def _shipped(name: str) -> object:
    there = (PRETRAINED / name).is_dir()
    return pytest.param(name, marks=() if there else pytest.mark.skip(reason=f"no {name} yet"))


@pytest.fixture(
    scope="module",
    params=[
        "callable",
        "folder",
        "gan",
        "ddim",
        "euler_ancestral",  # draws noise in every step
        "sde-dpmsolver++",  # the same, and keeps what earlier steps predicted
        "no guidance",
        _shipped("gan-scenes"),
        _shipped("diffusion-scenes"),
    ],
)
def build(
    request: pytest.FixtureRequest,
    toy_pipeline: Path,
    toy_gan: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Build:
    """Give a function that builds one kind of generator anew."""
    kind = request.param
    if kind == "callable":
        return lambda: CallableGenerator(name="toy", function=toy_function)
    if kind == "folder":
        folder = tmp_path_factory.mktemp("images")
        toys.save_toy_images(folder, [f"p-{i:03d}_0.png" for i in range(COUNT)])
        return lambda: FolderGenerator(name="toy", settings=FolderSettings(folder=str(folder)))
    if kind in ("gan", "gan-scenes"):
        return lambda: _gan(str(toy_gan) if kind == "gan" else kind)
    if kind == "diffusion-scenes":
        return lambda: _diffusers(kind)
    if kind == "no guidance":
        return lambda: _diffusers(str(toy_pipeline), guidance_scale=1.0)
    return lambda: _diffusers(str(toy_pipeline), scheduler=kind)


@pytest.fixture(scope="module")
def generator(build: Build) -> Generator:
    made = build()
    made.load("cpu", "float32")
    return made


@pytest.fixture(scope="module")
def requests() -> list[GenerationRequest]:
    return toys.requests(COUNT, negative=(2, 5))


@pytest.fixture(scope="module")
def expected(generator: Generator, requests: list[GenerationRequest]) -> list[Generation]:
    """All requests in one batch."""
    return generator.generate(requests)


def assert_same(found: Generation, wanted: Generation) -> None:
    """Equal up to one level in a value of a thousand: how sums are rounded depends on shapes."""
    assert (found.status, found.reason) == (wanted.status, wanted.reason)
    assert (found.nfe, dict(found.truncated_tokens)) == (wanted.nfe, dict(wanted.truncated_tokens))
    assert found.image is not None
    assert wanted.image is not None
    difference = np.abs(found.image.astype(int) - wanted.image.astype(int))
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 0.001


def test_one_image_each(expected: list[Generation]) -> None:
    assert len(expected) == COUNT
    for generation in expected:
        assert generation.status == "ok", generation.reason
        assert generation.image is not None
        assert generation.image.dtype == np.uint8
        assert generation.image.ndim == 3
        assert generation.image.shape[2] == 3


def test_requests_make_different_images(expected: list[Generation]) -> None:
    images = [generation.image.tobytes() for generation in expected if generation.image is not None]
    assert len(set(images)) == COUNT


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batch_size_changes_nothing(
    generator: Generator,
    requests: list[GenerationRequest],
    expected: list[Generation],
    size: int,
) -> None:
    found = []
    for start in range(0, COUNT, size):
        found += generator.generate(requests[start : start + size])
    for mine, wanted in zip(found, expected, strict=True):
        assert_same(mine, wanted)


def test_order_and_neighbours_change_nothing(
    generator: Generator, requests: list[GenerationRequest], expected: list[Generation]
) -> None:
    order = [6, 1, 5, 0, 2]
    for place, mine in zip(order, generator.generate([requests[i] for i in order]), strict=True):
        assert_same(mine, expected[place])


def test_same_request_twice_in_a_batch(
    generator: Generator, requests: list[GenerationRequest], expected: list[Generation]
) -> None:
    for mine in generator.generate([requests[3], requests[3]]):
        assert_same(mine, expected[3])


def test_no_requests_no_images(generator: Generator) -> None:
    assert generator.generate([]) == []


def test_requests_are_left_alone(generator: Generator, requests: list[GenerationRequest]) -> None:
    given = requests[:2]
    before = copy.deepcopy(given)
    generator.generate(given)
    assert given == before


def _random_states() -> tuple[object, ...]:
    """The states of torch and NumPy; ``random`` belongs to the type checker of the tests."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return (torch.random.get_rng_state().numpy().tobytes(), keys.tobytes(), rest)


def test_global_random_state_is_not_written(
    build: Build, requests: list[GenerationRequest]
) -> None:
    torch.manual_seed(5)
    before = _random_states()
    generator = build()
    generator.load("cpu", "float32")
    generator.generate(requests[:2])
    assert _random_states() == before


def test_global_random_state_is_not_read(
    generator: Generator, requests: list[GenerationRequest]
) -> None:
    images = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        images.append([g.image for g in generator.generate(requests[:2])])
    np.testing.assert_array_equal(images[0], images[1])


def test_loading_again_gives_the_same_bytes(
    build: Build, requests: list[GenerationRequest]
) -> None:
    generator = build()
    images = []
    for _ in range(2):
        generator.load("cpu", "float32")
        images.append([g.image for g in generator.generate(requests[:2])])
        generator.unload()
    np.testing.assert_array_equal(images[0], images[1])


def test_a_preview_changes_nothing(
    build: Build, requests: list[GenerationRequest], expected: list[Generation]
) -> None:
    generator = build()
    preview = generator.preview(requests[:2], requests)
    assert not preview.problems
    generator.load("cpu", "float32")
    for mine, wanted in zip(generator.generate(requests[:2]), expected[:2], strict=True):
        assert_same(mine, wanted)


def test_unload_may_be_called_at_any_time(build: Build) -> None:
    generator = build()
    generator.unload()
    generator.unload()


def test_info_is_complete(generator: Generator, expected: list[Generation]) -> None:
    info = generator.info
    assert info.name
    assert "text_to_image" in info.abilities
    if info.family in ("gan", "diffusion", "distilled"):
        assert info.parameters is not None
        assert info.parameters > 0
        assert info.conditioning
        assert info.weights_sha256 is not None
        assert len(info.weights_sha256) == 64
    if info.family != "other":
        image = expected[0].image
        assert image is not None
        assert info.resolution == image.shape[0] == image.shape[1]


@pytest.mark.parametrize("task", [task for task in TASKS if task != "text_to_image"])
def test_a_task_is_an_ability_or_refused(
    generator: Generator,
    requests: list[GenerationRequest],
    expected: list[Generation],
    task: Task,
) -> None:
    """One that cannot says so for that request alone; one that can gives an image."""
    pixels = toys.edit_pictures(32)
    pictures = {field: pixels[field] for field in SOURCES[task]}
    edit = dataclasses.replace(requests[0], task=task, **pictures)
    before = copy.deepcopy(pictures)
    edited, plain = generator.generate([edit, requests[1]])
    assert_same(plain, expected[1])
    for field, array in before.items():
        np.testing.assert_array_equal(getattr(edit, field), array)
    if task in generator.info.abilities:
        assert edited.image is not None
        before_compositing = edited.uncomposited
        assert before_compositing is None or before_compositing.shape == edited.image.shape
        return
    assert (edited.status, edited.image, edited.nfe) == ("failed", None, 0)
    assert edited.reason is not None
    assert task in edited.reason or SOURCES[task][0] in edited.reason
    assert "\n" not in edited.reason


def test_abilities_are_known_before_loading(build: Build, generator: Generator) -> None:
    tasks = set(TASKS)
    assert build().info.abilities & tasks == generator.info.abilities & tasks


def test_trace_is_an_ability_or_refused(
    generator: Generator, requests: list[GenerationRequest]
) -> None:
    if "trace" not in generator.info.abilities:
        with pytest.raises(NotImplementedError, match=generator.info.name):
            generator.trace(requests[0], [0.0])
        return
    frames = generator.trace(requests[0], [1.0, 0.0])
    assert [frame.step for frame in frames] == sorted({frame.step for frame in frames})
    assert (frames[0].step, frames[-1].step) == (0, frames[-1].steps)
    assert all(frame.noisy.shape == (32, 32, 3) for frame in frames)


def test_trying_settings_out_changes_no_image(
    build: Build, requests: list[GenerationRequest], expected: list[Generation]
) -> None:
    made = build()
    made.load("cpu", "float32")
    before = torch.get_rng_state()
    made.try_out([requests[2], requests[5]], batch_size=2)
    assert torch.equal(torch.get_rng_state(), before)
    for generation, wanted in zip(made.generate(requests), expected, strict=True):
        assert_same(generation, wanted)
