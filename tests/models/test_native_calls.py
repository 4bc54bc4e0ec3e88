"""What reaches the call of real pipelines, held against plain diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings, NativePoint
from gandiff.models.generator import GenerationRequest

Toys = Callable[[str], dict[str, Any]]
PROMPTS = ("a red star", "two rings")


def generator(settings: dict[str, Any], **changes: Any) -> DiffusersGenerator:
    made = DiffusersGenerator(name="toy", settings=DiffusersSettings(**settings, **changes))
    made.load()
    return made


def ours(made: DiffusersGenerator, **request: Any) -> np.ndarray:
    asked = [GenerationRequest(prompt=p, seed=i, **request) for i, p in enumerate(PROMPTS)]
    generations = made.generate(asked)
    assert [one.status for one in generations] == ["ok"] * 2, generations[0].reason
    return np.stack([one.image for one in generations if one.image is not None])


def plain(settings: dict[str, Any], **call: Any) -> np.ndarray:
    """The images of the pipeline as diffusers loads and calls it, with its own defaults."""
    from diffusers import AutoPipelineForText2Image

    automatic: Any = AutoPipelineForText2Image
    pipe = automatic.from_pretrained(settings["pipeline"], safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    size = {key: settings[key] for key in ("height", "width") if key in settings}
    noise = [torch.Generator().manual_seed(i) for i in range(len(PROMPTS))]
    made = pipe(prompt=list(PROMPTS), generator=noise, output_type="np", **size, **call)
    return np.rint(np.clip(made.images, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("family", "call"),
    [
        ("sd3", {}),
        ("flux", {}),
        ("lcm", {}),
        ("flux-schnell", {"num_inference_steps": 4}),
        ("qwen-image", {"negative_prompt": [" ", " "]}),
        pytest.param("sd", {}, marks=pytest.mark.slow),
        pytest.param("sdxl", {}, marks=pytest.mark.slow),
    ],
)
def test_with_nothing_set_it_is_the_plain_call(
    toy_family: Toys, family: str, call: dict[str, Any]
) -> None:
    settings = toy_family(family)
    np.testing.assert_array_equal(ours(generator(settings)), plain(settings, **call))


def test_qwen_image_guides_and_is_recorded_to(toy_family: Toys) -> None:
    settings = toy_family("qwen-image")
    few = {"num_inference_steps": 2}
    made = generator(settings, **few)
    guided = ours(made)
    assert made.info.settings["resolved"]["sent"] == {"negative_prompt": " "}
    assert np.abs(guided - plain(settings, **few).astype(int)).mean() > 1  # it did not, alone
    off = generator(settings, **few, guidance_scale=1.0)
    np.testing.assert_array_equal(ours(off), plain(settings, **few))
    request = GenerationRequest(prompt="a star", seed=1, negative_prompt="a ring")
    assert made.generate([request])[0].reason is None
    reason = off.generate([request])[0].reason
    assert reason == "negative prompt not used: guidance_scale is 1"


def test_a_negative_prompt_of_flux_is_used_with_true_guidance_alone(toy_family: Toys) -> None:
    request = GenerationRequest(prompt="a star", seed=1, negative_prompt="a ring")
    few = {"num_inference_steps": 2}
    alone = generator(toy_family("flux"), **few).generate([request])[0].reason
    assert alone is not None
    assert "true_cfg_scale (in extra) above 1 would use it" in alone
    true = generator(toy_family("flux"), **few, extra={"true_cfg_scale": 3.0})
    assert true.generate([request])[0].reason is None


def test_a_text_in_extra_is_that_of_every_image(toy_family: Toys) -> None:
    settings, few = toy_family("sdxl"), {"num_inference_steps": 2, "guidance_scale": 3.0}
    texts = {"prompt_2": "a blue heart", "negative_prompt_2": "fog"}
    made = ours(generator(settings, **few, extra=texts), negative_prompt="rain")
    call = {name: [text] * 2 for name, text in texts.items()} | {"negative_prompt": ["rain"] * 2}
    np.testing.assert_array_equal(made, plain(settings, **few, **call))


def test_a_list_of_texts_and_a_size_far_from_its_own(toy_family: Toys) -> None:
    settings = toy_family("sdxl")
    extra = {"prompt_2": ["a heart", "a ring"]}
    with pytest.raises(GeneratorError, match=r"extra\.prompt_2 must be one text, .* got 2"):
        DiffusersGenerator(name="toy", settings=DiffusersSettings(**settings, extra=extra))
    small: dict[str, Any] = {
        "height": 32,
        "width": 32,
        "native": NativePoint(num_inference_steps=2),
    }
    made = generator(toy_family("flux") | small)
    assert made.info.off_native == ("32x32 px, made for 512x512",)


def test_a_turbo_model_by_its_card_runs_one_step_without_guidance(
    toy_family: Toys, tmp_path: Path
) -> None:
    import shutil

    settings = toy_family("sdxl-turbo")
    copy = tmp_path / "weights"
    shutil.copytree(settings["pipeline"], copy)
    (copy / "README.md").write_text("---\nbase_model: stabilityai/sdxl-turbo\n---\n")
    made = generator({**settings, "pipeline": str(copy)})
    expected = plain(settings, num_inference_steps=1, guidance_scale=0.0)
    np.testing.assert_array_equal(ours(made), expected)
    assert (made.info.family, made.info.remarks) == ("hybrid", ())
    doubtful = DiffusersGenerator(name="toy", settings=DiffusersSettings(**settings))
    assert "native steps and guidance are not known" in doubtful.info.remarks[0]
