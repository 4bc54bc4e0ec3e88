from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest
from gandiff.models.weights import combined_sha256


def make(pipeline: object, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 3, "guidance_scale": 1.0, **settings}
    return DiffusersGenerator(
        name="toy", settings=DiffusersSettings(pipeline=str(pipeline), **chosen)
    )


def loaded(pipeline: object, dtype: str = "float32", **settings: Any) -> DiffusersGenerator:
    generator = make(pipeline, **settings)
    generator.load("cpu", dtype)
    return generator


def pixels(generations: Sequence[Generation]) -> np.ndarray:
    assert [g.status for g in generations] == ["ok"] * len(generations), generations[0].reason
    return np.stack([g.image for g in generations if g.image is not None]).astype(int)


@pytest.fixture(scope="module")
def shared(toy_pipeline: Path) -> DiffusersGenerator:
    """A loaded toy with guidance, for tests that only look."""
    return loaded(toy_pipeline, guidance_scale=2.0)


@pytest.mark.parametrize(
    ("settings", "nfe"),
    [
        ({"scheduler": "ddim", "guidance_scale": 1.0}, 6),
        ({"scheduler": "ddim", "guidance_scale": 2.0}, 12),
        ({"scheduler": "ddim", "guidance_scale": 0.0}, 6),
        ({"scheduler": "heun"}, 11),  # second order, but the last step is of first
        ({"scheduler": "kdpm2", "guidance_scale": 2.0}, 22),
        ({"scheduler": "pndm"}, 7),  # one more to start with
        ({"scheduler": "pndm", "scheduler_options": {"skip_prk_steps": False}}, 15),
        ({"scheduler": "dpmsolver++"}, 6),
        ({"scheduler": "lcm"}, 6),
    ],
)
def test_evaluations_are_counted(toy_pipeline: Path, settings: dict[str, Any], nfe: int) -> None:
    generator = loaded(toy_pipeline, **{"num_inference_steps": 6, **settings})
    found = generator.generate(toys.requests(3, negative=(1,)))  # a batch of two and one alone
    assert [generation.nfe for generation in found] == [nfe] * 3


def test_networks_that_were_loaded_later_are_counted(toy_pipeline: Path) -> None:
    generator = loaded(toy_pipeline, num_inference_steps=2, guidance_scale=0.0)
    generator.generate(toys.requests(1))
    generator.load(dtype="bfloat16")  # other networks than before
    assert [one.nfe for one in generator.generate(toys.requests(2))] == [2, 2]


def test_unread_tokens_are_counted(shared: DiffusersGenerator) -> None:
    short, long = "a red star", "a red star left of a blue ring " * 4
    found = shared.generate([GenerationRequest(prompt=p, seed=1) for p in (short, long)])
    _, tokenizer = toys.build_text()
    expected = len(tokenizer(long, verbose=False)["input_ids"]) - tokenizer.model_max_length
    assert expected > 10
    assert [dict(g.truncated_tokens) for g in found] == [{}, {"text_encoder": expected}]


def test_a_negative_prompt_changes_the_image(shared: DiffusersGenerator) -> None:
    plain, empty, other = shared.generate(
        [
            GenerationRequest(prompt="a star", seed=3, negative_prompt=negative)
            for negative in (None, "", "two purple crosses")
        ]
    )
    images = pixels([plain, empty, other])
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).mean() > 1
    assert other.reason is None


def test_a_negative_prompt_without_guidance_is_noted(toy_pipeline: Path) -> None:
    request = GenerationRequest(prompt="a star", seed=3, negative_prompt="a ring")
    generation = loaded(toy_pipeline).generate([request])[0]
    assert generation.status == "ok"
    assert generation.reason == "negative prompt not used: guidance_scale is 1"


@pytest.mark.parametrize("field", ["init_image", "control_image"])
def test_editing_is_refused_for_that_image_alone(shared: DiffusersGenerator, field: str) -> None:
    image: Any = {field: np.zeros((32, 32, 3), np.uint8)}
    edit = GenerationRequest(prompt="a star", seed=3, **image)
    fine, refused = shared.generate([GenerationRequest(prompt="a star", seed=3), edit])
    assert fine.status == "ok"
    assert (refused.status, refused.nfe) == ("failed", 0)
    assert refused.reason is not None
    assert field in refused.reason


_DECODED = (
    "3072 of 3072 pixel values are NaN or infinite (first in what the vae gives, at its evaluation "
    "1)"
)


@pytest.mark.parametrize(("name", "evaluation"), [("unet", 2), ("text_encoder", 1)])
def test_networks_that_break_are_named_with_the_evaluation(
    toy_pipeline: Path, name: str, evaluation: int
) -> None:
    made = loaded(toy_pipeline)
    pipe = made._held().value

    def breaks(module: object, given: Sequence[Any], output: Any) -> None:
        if name != "unet" or float(given[1]) == float(pipe.scheduler.timesteps[1]):
            output[0].fill_(torch.nan)

    hook = getattr(pipe, name).register_forward_hook(breaks)
    try:
        (failed,) = made.generate(toys.requests(1))
    finally:
        hook.remove()
    where = f"(first in what the {name} gives, at its evaluation {evaluation})"
    assert where in str(failed.reason)
    made.unload()


def test_broken_networks_leave_reasons(toy_pipeline_copy: Path) -> None:
    path = toy_pipeline_copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["decoder.conv_out.weight"].zero_()
    save_file(weights, path, metadata={"format": "pt"})
    found = loaded(toy_pipeline_copy).generate(toys.requests(2))
    assert [g.status for g in found] == ["failed", "failed"]
    assert found[0].reason is not None
    assert found[0].reason.startswith("black or constant image")
    weights["decoder.conv_out.bias"].fill_(float("nan"))
    save_file(weights, path, metadata={"format": "pt"})
    found = loaded(toy_pipeline_copy).generate(toys.requests(2))
    assert [g.reason for g in found] == [_DECODED] * 2
    assert found[0].nfe == 3


def test_output_is_rounded(toy_pipeline: Path) -> None:
    generator = loaded(toy_pipeline)
    request = toys.requests(1)[0]
    found = pixels(generator.generate([request]))[0]
    with generator._ready() as pipe:
        plain = pipe(
            prompt=request.prompt,
            generator=torch.Generator().manual_seed(request.seed),
            num_inference_steps=3,
            guidance_scale=1.0,
            output_type="np",
        ).images[0]
    np.testing.assert_array_equal(found, np.rint(plain * 255).astype(int))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near(toy_pipeline: Path, dtype: str) -> None:
    noise = [
        torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=kind).float()
        for kind in (torch.float32, getattr(torch, dtype))
    ]
    if not torch.allclose(*noise, atol=0.1):
        pytest.skip("this torch draws other noise in half precision than in single")
    full = pixels(loaded(toy_pipeline).generate(toys.requests(2)))
    half = pixels(loaded(toy_pipeline, dtype).generate(toys.requests(2)))
    assert 0 < np.abs(full - half).mean() < 3


def test_another_size(toy_pipeline: Path) -> None:
    generator = loaded(toy_pipeline, height=40, width=48)
    assert pixels(generator.generate(toys.requests(2))).shape == (2, 40, 48, 3)
    assert generator.info.resolution is None
    assert make(toy_pipeline, height=64, width=64).info.resolution == 64


def test_info(toy_pipeline_copy: Path) -> None:
    record = {"images": 640, "seconds": 2.5, "device": "cpu", "command": "train", "seed": 3}
    (toy_pipeline_copy / "training.json").write_text(json.dumps(record))
    (toy_pipeline_copy / "README.md").write_text("---\nlicense: apache-2.0\nsource: here\n---\n")
    generator = make(toy_pipeline_copy, scheduler="unipc")
    early = generator.info
    assert (early.family, early.resolution, early.parameters) == ("diffusion", 32, None)
    generator.load()
    info = generator.info
    modules = toys.build_pipeline().components.values()
    counts = [p.numel() for m in modules if hasattr(m, "parameters") for p in m.parameters()]
    assert info.parameters == sum(counts)
    assert (info.conditioning, info.licence, info.source) == ("CLIPTextModel", "apache-2.0", "here")
    assert (info.training_images, info.training_seconds, info.training_device) == (640, 2.5, "cpu")
    assert info.training == record
    assert info.abilities == {"text_to_image", "image_to_image", "inpaint", "trace"}
    assert info.weights_sha256 == early.weights_sha256 == combined_sha256(toy_pipeline_copy)
    assert info.settings["scheduler_class"] == "UniPCMultistepScheduler"
    assert info.settings["num_inference_steps"] == 3
    json.dumps(dict(info.settings))
    generator.unload()
    assert generator.info == info
    with pytest.raises(GeneratorError, match="toy is not loaded; call load"):
        generator.generate(toys.requests(1))


def test_family(toy_pipeline: Path, tmp_path: Path) -> None:
    assert make(toy_pipeline, family="distilled").info.family == "distilled"
    (tmp_path / "sdxl-turbo").symlink_to(toy_pipeline)  # what a folder is called says nothing
    assert make(tmp_path / "sdxl-turbo").info.family == "diffusion"
    toys.build_pipeline(time_cond_proj_dim=8).save_pretrained(tmp_path / "consistency")
    generator = loaded(tmp_path / "consistency", guidance_scale=4.0, scheduler="lcm")
    assert generator.info.family == "distilled"
    assert generator.generate(toys.requests(1))[0].nfe == 3  # guidance is an input, not a batch


def test_loading_and_generating_say_nothing(
    toy_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = GenerationRequest(prompt="a red star " * 30, seed=1)
    loaded(toy_pipeline, scheduler="euler").generate([long])
    out, err = capfd.readouterr()
    assert out == ""
    assert "it/s" not in err
    assert "truncated" not in err


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_advice_is_silenced_and_errors_are_not(library: str) -> None:
    from gandiff.models.diffusion.loading import quiet

    logger, stream = logging.getLogger(f"{library}.models"), io.StringIO()
    logging.getLogger(library).addHandler(handler := logging.StreamHandler(stream))
    try:
        with quiet():
            logger.warning("advice")
            logger.error("an error")
        logger.warning("later advice")
    finally:
        logging.getLogger(library).removeHandler(handler)
    assert stream.getvalue() == "an error\nlater advice\n"


def test_extra_arguments_reach_the_pipeline(toy_pipeline: Path) -> None:
    plain = pixels(loaded(toy_pipeline).generate(toys.requests(1)))
    noisy = pixels(loaded(toy_pipeline, extra={"eta": 1.0}).generate(toys.requests(1)))
    assert np.abs(plain - noisy).mean() > 1
    with pytest.raises(GeneratorError, match=r"no argument 'etta' .* did you mean 'eta'\?"):
        loaded(toy_pipeline, extra={"etta": 1.0})


def test_devices_and_dtypes_that_are_not_there(toy_pipeline: Path) -> None:
    generator = make(toy_pipeline)
    with pytest.raises(GeneratorError, match="no number format is named 'int8'; use float32"):
        generator.load("cpu", "int8")
    with pytest.raises(GeneratorError, match="no device is named 'gpu'; must be cpu"):
        generator.load("gpu")
    with pytest.raises(GeneratorError, match="device 'cuda:99' is not on this machine"):
        generator.load("cuda:99")


def test_what_a_safety_checker_blanks_is_filtered(
    toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import StableDiffusionPipeline

    def check(self: Any, image: torch.Tensor, *rest: Any) -> Any:
        blank = torch.zeros_like(image[:1]) - 1
        return torch.cat([blank, image[1:]]), [True, *[False] * (len(image) - 1)]

    monkeypatch.setattr(StableDiffusionPipeline, "run_safety_checker", check)
    generator = loaded(toy_pipeline)
    first, second = generator.generate(toys.requests(2))
    assert (first.status, first.image) == ("filtered", None)
    assert first.reason == "the pipeline's safety checker blanked the image"
    assert second.status == "ok"
