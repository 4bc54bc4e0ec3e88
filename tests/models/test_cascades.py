"""Stages of a cascade, and decoders with their priors, as one generator."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from families.plain import Plain

from gandiff.common.errors import GeneratorError, RequestError, SettingError
from gandiff.common.validation import validate
from gandiff.experiments.draw.models import open_model
from gandiff.models.diffusion.cascade import CascadeGenerator, open_generator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import GenerationRequest, Generator

ToyFamily = Callable[[str], dict[str, Any]]
STEPS = ({"num_inference_steps": 3}, {"num_inference_steps": 2, "guidance_scale": 3.0}, {})


def make(**settings: Any) -> Generator:
    return open_generator("toy", validate(DiffusersSettings, settings))


def images(generator: Generator, requests: list[GenerationRequest]) -> np.ndarray:
    made = generator.generate(requests)
    assert [one.status for one in made] == ["ok"] * len(requests), made[0].reason
    return np.stack([one.image for one in made if one.image is not None])


def staged(toy_family: ToyFamily, count: int = 3) -> dict[str, Any]:
    """The stages of IF with settings of their own; the last has those beside ``stages``."""
    places = toy_family("if")["stages"][:count]
    own = [{"pipeline": place, **said} for place, said in zip(places, STEPS, strict=False)]
    return {"stages": own, "num_inference_steps": 2, "guidance_scale": 2.0}


def by_hand(places: list[str], request: GenerationRequest) -> np.ndarray:
    """The recipe of diffusers' documentation: features once, one generator through all stages."""
    from diffusers import DiffusionPipeline, IFPipeline

    off: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    first = IFPipeline.from_pretrained(places[0], **off)
    second = DiffusionPipeline.from_pretrained(places[1], text_encoder=None, tokenizer=None, **off)
    embeds, negative = first.encode_prompt(request.prompt, negative_prompt=request.negative_prompt)
    shared: dict[str, Any] = {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "generator": torch.Generator().manual_seed(request.seed),
        "output_type": "pt",
    }
    image = first(num_inference_steps=3, guidance_scale=2.0, **shared).images
    image = second(image=image, num_inference_steps=2, guidance_scale=3.0, **shared).images
    if len(places) == 2:
        image = (image / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    else:
        third = DiffusionPipeline.from_pretrained(places[2])
        image = third(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            image=image,
            generator=shared["generator"],
            num_inference_steps=2,
            guidance_scale=2.0,
            output_type="np",
        ).images
    return np.rint(image[0] * 255).astype(np.uint8)


@pytest.mark.parametrize("count", [2, 3])
def test_stages_draw_what_the_recipe_draws(toy_family: ToyFamily, count: int) -> None:
    settings = staged(toy_family, count)
    generator = make(**settings)
    generator.load()
    requests = toys.requests(2, negative=(1,))
    drawn = images(generator, requests)
    places = [stage["pipeline"] for stage in settings["stages"]]
    for image, request in zip(drawn, requests, strict=True):
        np.testing.assert_array_equal(image, by_hand(places, request))


def test_stages_are_one_generator(toy_family: ToyFamily) -> None:
    generator = make(**staged(toy_family))
    generator.load()
    requests = toys.requests(3)
    together = images(generator, requests)
    alone = np.concatenate([images(generator, [request]) for request in requests])
    assert np.abs(together.astype(int) - alone).max() <= 1  # kernels round by the batch
    made = generator.generate(requests[:1])[0]
    assert made.nfe == sum(made.nfe_by_network.values()) == 2 * (3 + 2 + 2)
    info = generator.info
    sizes = [stage["pipeline_class"] for stage in info.settings["stages"]]
    assert sizes == ["IFPipeline", "IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline"]
    assert [stage["num_inference_steps"] for stage in info.settings["stages"]] == [3, 2, 2]
    assert info.abilities == {"text_to_image", "trace"}
    networks = [(place, "unet") for place in ("I", "II", "III")]
    networks += [("I", "text_encoder"), ("III", "text_encoder"), ("III", "vae")]
    folder = Path(toy_family("if")["stages"][0]).parent
    assert info.parameters == sum(weights(folder / place / part) for place, part in networks)


def weights(part: Path) -> int:
    from safetensors import safe_open

    (file,) = part.glob("*.safetensors")
    with safe_open(file, "pt") as opened:
        shapes = [opened.get_slice(key).get_shape() for key in opened.keys()]  # noqa: SIM118
    return sum(int(np.prod(shape)) for shape in shapes)


def test_later_stages_of_if_need_no_text_encoder(toy_family: ToyFamily, tmp_path: Path) -> None:
    settings = staged(toy_family, 2)
    bare = Path(shutil.copytree(settings["stages"][1]["pipeline"], tmp_path / "II"))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(bare / part, ignore_errors=True)
    whole, without = (
        make(**settings),
        make(
            **{
                **settings,
                "stages": [settings["stages"][0], {**settings["stages"][1], "pipeline": str(bare)}],
            }
        ),
    )
    drawn = []
    for generator in (whole, without):
        generator.load()
        drawn.append(images(generator, toys.requests(1)))
    np.testing.assert_array_equal(*drawn)


def test_a_pale_image_is_enlarged_as_it_is() -> None:
    """diffusers takes a tensor without negative values for an image from 0 to 1."""
    from families import cascades

    from gandiff.models.diffusion.cascade import Cascade

    pipes = cascades.deepfloyd()
    Cascade([pipes["II"], pipes["III"]])
    pale = torch.rand(1, 3, 8, 8)
    np.testing.assert_array_equal(pipes["III"].image_processor.preprocess(pale), pale)


BAD: dict[str, tuple[Callable[[list[str]], dict[str, Any]], str]] = {
    "with a pipeline": (
        lambda s: {"stages": s, "pipeline": s[0]},
        "pipeline and stages exclude each other",
    ),
    "with a prior": (lambda s: {"stages": s, "prior": s[0]}, "prior and stages exclude each other"),
    "with a size": (lambda s: {"stages": s, "height": 64, "width": 64}, "height and stages excl"),
    "one alone": (lambda s: {"stages": s[:1]}, "stages: must have at least 2 items, got 1"),
    "half a size": (
        lambda s: {"stages": [s[0], {"pipeline": s[1], "height": 32}]},
        "stages.1: give both height and width",
    ),
    "no solver": (
        lambda s: {"stages": [s[0], {"pipeline": s[1], "scheduler": "dim"}]},
        "stages.1.scheduler: there is no scheduler named 'dim'",
    ),
    "the wrong way round": (lambda s: {"stages": [s[1], s[0]]}, "which enlarges an image"),
    "twice the first": (
        lambda s: {"stages": [s[0], s[0]]},
        "stage 2, an IFPipeline, takes no image",
    ),
    "nothing there": (lambda s: {"stages": [s[0], s[0] + "-none"]}, "no weights at"),
    "an unknown argument": (
        lambda s: {"stages": [s[0], {"pipeline": s[1], "extra": {"noise_levle": 3}}]},
        "no argument 'noise_levle'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_stages_that_cannot_be(toy_family: ToyFamily, case: str) -> None:
    change, message = BAD[case]
    with pytest.raises((GeneratorError, SettingError)) as caught:
        make(**change(toy_family("if")["stages"]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bare_directories_are_paths_of_stages(
    toy_family: ToyFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [Path(stage) for stage in toy_family("if")["stages"][:2]]
    monkeypatch.chdir(stages[0].parent)
    generator = open_model("diffusers,stages=[I, ./II]")
    assert isinstance(generator, CascadeGenerator)
    with pytest.raises(RequestError, match=r"stage 2, an IFPipeline, takes no image"):
        open_model("diffusers,stages=[I, I]")
    with pytest.raises(RequestError, match=r"stages\.1: there is nothing at .*none"):
        open_model("diffusers,stages=[I, ./none]")


@pytest.mark.parametrize("family", ["kandinsky-2.2", "stable-cascade"])
def test_a_decoder_is_called_after_its_prior(
    toy_family: ToyFamily, family: str, tmp_path: Path
) -> None:
    given = toy_family(family)
    prior = given["prior"]
    alone = {**given, "prior": None, "num_inference_steps": 2}
    with pytest.raises(GeneratorError, match=r"a decoder, which makes .* of the prior as prior"):
        make(**alone)
    with pytest.raises(GeneratorError, match=r"prior must be a .*PriorPipeline"):
        make(**{**given, "prior": toy_family("sd")["pipeline"]})
    copy = Path(shutil.copytree(given["pipeline"], tmp_path / "decoder"))
    (copy / "README.md").write_text(f"---\nprior:\n- {prior}\n---\n")
    drawn = []
    for settings in ({**given, "num_inference_steps": 2}, {**alone, "pipeline": str(copy)}):
        generator = make(**settings)
        generator.load()
        drawn.append(images(generator, toys.requests(1)))
        assert generator.generate(toys.requests(1))[0].nfe_by_network["prior_prior"] > 0
    np.testing.assert_array_equal(*drawn)
    (copy / "README.md").write_text("---\nprior:\n- some-org/some-prior\n---\n")
    with pytest.raises(GeneratorError, match="names the prior 'some-org/some-prior': cannot get"):
        make(**{**alone, "pipeline": str(copy), "local_files_only": True})


def test_a_prior_beside_a_whole_pipeline_is_refused(toy_family: ToyFamily) -> None:
    with pytest.raises(GeneratorError, match="StableDiffusionPipeline, which needs no prior"):
        make(**toy_family("sd"), prior=toy_family("kandinsky-2.2")["prior"])


def test_parts_that_diffusers_moved_are_lent_for_the_time_of_loading(toy_family: ToyFamily) -> None:
    import diffusers

    Plain(toy_family("unclip"))  # which puts them back, too, as others do in this process
    assert not hasattr(diffusers.pipelines, "unclip")
    generator = make(**toy_family("unclip"))
    generator.load()
    assert images(generator, toys.requests(1)).std() > 1
    assert not hasattr(diffusers.pipelines, "unclip")
