"""The way from noise to image of real pipeline classes, whatever their latents look like."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import families
import numpy as np
import pytest
import torch

from gandiff.models.diffusion.counting import DenoiserCounter
from gandiff.models.diffusion.decoding import frames
from gandiff.models.diffusion.loading import quiet
from gandiff.models.diffusion.reading import ReadingRecorder
from gandiff.models.generator import GenerationRequest, TraceFrame
from gandiff.models.pixels import to_uint8

PROMPT = "a red star left of a blue ring"
LONG = f"{PROMPT} on a sandy background with a yellow crescent above a pink square and much else"
MOMENTS = [0.0, 0.5, 1.0]
FOLDERS = ["sd-v", "sdxl", "flux", "qwen-image", "z-image", "sana"]
MORE = ["sd", "sd-zero-snr", "lcm", "sd3", "flux2", "pixart-sigma", "chroma", "lumina2", "cogview4"]


def call(pipe: Any, prompt: str = PROMPT, **more: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt=prompt, generator=generator, output_type="np", **more)


def traced(pipe: Any, make: Callable[[], Any]) -> tuple[np.ndarray, list[TraceFrame]]:
    """The image of a plain call and the frames of the way to it."""
    with quiet():
        plain = np.asarray(make().images[0])
        shown = frames(pipe, make, MOMENTS)
        again = np.asarray(make().images[0])
    np.testing.assert_array_equal(plain, again)  # nothing stays behind on the pipeline
    return to_uint8(plain), shown


def check(image: np.ndarray, shown: list[TraceFrame]) -> None:
    first, middle, last = shown
    assert (first.step, last.step, last.timestep) == (0, last.steps, 0.0)
    np.testing.assert_array_equal(last.noisy, image)
    away = [np.abs(frame.noisy.astype(int) - image).mean() for frame in (first, middle)]
    assert away[0] > away[1] > 0
    assert last.estimate is not None
    assert np.abs(last.estimate.astype(int) - image).mean() < 4


@pytest.mark.parametrize(
    "name", [*FOLDERS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_the_way_ends_in_the_image(name: str, toy_family: Callable[[str], dict[str, Any]]) -> None:
    from diffusers import DiffusionPipeline

    settings = toy_family(name)
    pipe = DiffusionPipeline.from_pretrained(settings.pop("pipeline"), safety_checker=None)
    check(*traced(pipe, lambda: call(pipe, num_inference_steps=4, **settings)))


def kandinsky() -> tuple[Any, dict[str, Any]]:
    import diffusers

    built = families.cascades.kandinsky22()
    prior = {f"prior_{name}": part for name, part in built["prior"].components.items()}
    pipe = diffusers.KandinskyV22CombinedPipeline(**built["decoder"].components, **prior)
    return pipe, {
        "prior_num_inference_steps": 3,
        "num_inference_steps": 4,
        "height": 32,
        "width": 32,
    }


def unclip() -> tuple[Any, dict[str, Any]]:
    stages = ("prior", "decoder", "super_res")
    return families.cascades.unclip(), {f"{stage}_num_inference_steps": 4 for stage in stages}


def test_a_prior_is_counted_and_not_shown() -> None:
    pipe, steps = kandinsky()
    image, shown = traced(pipe, lambda: call(pipe, **steps))
    assert {frame.stage for frame in shown} == {"stage 2 of 2"}
    check(image, shown)
    with DenoiserCounter(pipe) as counter, ReadingRecorder(pipe) as reading:
        call(pipe, LONG, **steps)
    # Guidance doubles both.
    assert counter.per_image(1) == {"prior_prior": 6, "unet": 8}
    assert counter.nfe(1) == 14
    (unread,) = reading.unread([GenerationRequest(prompt=LONG, seed=0)])
    assert list(unread) == ["prior_text_encoder"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_each_pixel_stage_is_shown() -> None:
    pipe, steps = unclip()
    image, shown = traced(pipe, lambda: call(pipe, **steps))
    assert [frame.stage for frame in shown] == ["stage 2 of 3"] * 3 + ["stage 3 of 3"] * 3
    assert [frame.noisy.shape[0] for frame in shown] == [16] * 3 + [32] * 3
    check(image, shown[3:])
    with DenoiserCounter(pipe) as counter:
        call(pipe, **steps)
    assert counter.per_image(1) == {
        "prior": 8,
        "decoder": 8,
        "super_res_first": 3,
        "super_res_last": 1,
    }


def test_the_stages_of_a_cascade_are_shown_one_after_the_other() -> None:
    """Imagen's design: three pipelines, the last one in latents."""
    stages = families.cascades.deepfloyd()

    class Cascade(SimpleNamespace):
        def __call__(self) -> Any:
            first, second, third = self.stages
            tensors = {"output_type": "pt", "num_inference_steps": 3}
            random = torch.Generator().manual_seed(1)
            small = first(LONG, generator=random, **tensors).images
            sized = {"height": 32, "width": 32, **tensors}
            middle = second(prompt=LONG, image=small, generator=random, **sized).images
            return call(third, LONG, image=middle, num_inference_steps=4)

    for stage in stages.values():
        stage.set_progress_bar_config(disable=True)
    pipe = Cascade(stages=list(stages.values()))
    image, shown = traced(pipe, pipe)
    assert [frame.noisy.shape[0] for frame in shown] == [16] * 3 + [32] * 3 + [128] * 3
    check(image, shown[6:])
    with quiet(), DenoiserCounter(pipe) as counter, ReadingRecorder(pipe) as reading:
        pipe()
    assert counter.per_image(1) == {"unet": 6, "unet_2": 6, "unet_3": 8}
    (unread,) = reading.unread([GenerationRequest(prompt=LONG, seed=0)])
    assert unread["text_encoder"] == 0  # T5 reads on where CLIP stops
    assert unread["text_encoder_2"] > 0


@pytest.mark.parametrize("name", ["qwen-image", "z-image", "flux", "sana", "lumina2"])
def test_templates_are_no_part_of_what_is_not_read(
    name: str, toy_family: Callable[[str], dict[str, Any]]
) -> None:
    """Where the pipeline takes five tokens fewer, five more of the prompt are not read."""
    from diffusers import DiffusionPipeline

    settings = toy_family(name)
    pipe = DiffusionPipeline.from_pretrained(settings.pop("pipeline"))

    def unread(limit: int) -> dict[str, int]:
        with quiet(), ReadingRecorder(pipe) as reading:
            call(pipe, LONG, num_inference_steps=2, max_sequence_length=limit, **settings)
        return reading.unread([GenerationRequest(prompt=LONG, seed=0)], limit)[0]

    encoder = "text_encoder_2" if name == "flux" else "text_encoder"
    assert unread(300).get(encoder, 0) == 0
    counts = [unread(limit)[encoder] for limit in (20, 15)]
    assert counts[1] == counts[0] + 5
    assert 0 < counts[0] < 80


@pytest.mark.parametrize("name", ["kandinsky-2.2", "sdxl", "flux"])
def test_the_size_that_is_stated_is_that_of_the_images(
    name: str, toy_family: Callable[[str], dict[str, Any]]
) -> None:
    from gandiff.models.diffusion.pipeline import DiffusersGenerator
    from gandiff.models.diffusion.settings import DiffusersSettings

    settings = DiffusersSettings(**toy_family(name), num_inference_steps=1)
    generator = DiffusersGenerator(name=name, settings=settings)
    generator.load()
    (made,) = generator.generate([GenerationRequest(prompt=PROMPT, seed=1)])
    assert made.image is not None
    assert made.image.shape == (generator.info.resolution, generator.info.resolution, 3)
