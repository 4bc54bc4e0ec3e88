"""Solvers put in the place of a pipeline's own: what drives it, what is refused, what is said."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion import conversion, schedulers
from gandiff.models.diffusion.conversion import build_scheduler
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings

Toys = Callable[[str], dict[str, Any]]
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def loaded(pipeline: dict[str, Any], **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 4, "guidance_scale": 1.0, **pipeline, **settings}
    generator = DiffusersGenerator("toy", DiffusersSettings(**chosen))
    generator.load()
    return generator


def image(generator: DiffusersGenerator) -> np.ndarray:
    made = generator.generate(toys.requests(1))[0].image
    assert made is not None
    return made.astype(float)


def test_the_solver_of_a_combined_pipeline_drives_its_decoder(toy_family: Toys) -> None:
    own = loaded(toy_family("kandinsky-2.2"))
    before = image(own)
    pipe = own._shared.value  # type: ignore[union-attr]
    ddim = loaded(toy_family("kandinsky-2.2"), scheduler="ddim")
    assert "solver_steps" not in ddim.info.settings  # nothing has run yet
    drawn = image(ddim)
    assert np.abs(drawn - before).mean() > 1
    assert ddim.info.settings["scheduler_class"] == "DDIMScheduler"
    assert ddim.info.settings["solver_steps"] == 4
    assert type(pipe.decoder_pipe.scheduler).__name__ == "DDPMScheduler"
    np.testing.assert_array_equal(image(own), before)


def test_a_solver_that_does_not_fit_the_pipelines_code_is_refused_in_one_line(
    toy_family: Toys,
) -> None:
    for family, name, why in (
        ("kandinsky-2.2", "heun", "KandinskyV22Pipeline .*unexpected keyword argument 'generator'"),
        ("flux-schnell", "heun", "FluxPipeline .it takes no sigmas or timesteps from the pipeline"),
        ("flux-schnell", "dpmsolver[+][+]", "FluxPipeline .assert self.config.use_dynamic_shift"),
        ("lcm", "ddim", "LatentConsistencyModelPipeline .*'original_inference_steps'"),
    ):
        generator = loaded(toy_family(family), scheduler=name.replace("[", "").replace("]", ""))
        with pytest.raises(GeneratorError, match=f"Scheduler cannot drive {why}") as refused:
            generator.generate(toys.requests(1))
        assert "\n" not in str(refused.value)


def test_networks_that_predict_their_variance_take_every_solver_that_clips(
    toy_family: Toys,
) -> None:
    first = Path(toy_family("if")["stages"][0])
    small = {"pipeline": str(first)}
    for name in ("ddim", "dpmsolver++", "unipc"):
        assert np.isfinite(image(loaded(small, scheduler=name))).all()
    with pytest.raises(GeneratorError, match=r"'euler' cannot clip .*thresholding: true.* use one"):
        loaded(small, scheduler="euler")
    waived = loaded(small, scheduler="euler", scheduler_options={"thresholding": False})
    assert np.isfinite(image(waived)).all()


def test_steps_that_the_call_sets_itself_are_no_reason_to_refuse(toy_family: Toys) -> None:
    custom = {"timesteps": [900, 600, 300, 10]}
    generator = loaded(toy_family("sd"), scheduler="lcm", num_inference_steps=60, extra=custom)
    image(generator)
    assert generator.info.settings["solver_steps"] == 4
    with pytest.raises(GeneratorError, match="PNDMScheduler takes no timesteps of one's own"):
        loaded(toy_family("sd"), extra=custom)
    assert image(loaded(toy_family("sana-sprint"), extra={"intermediate_timesteps": None})).any()


def test_what_a_reader_should_know_of_a_solver_is_remarked(toy_family: Toys) -> None:
    def remarks(**settings: Any) -> str:
        return " ".join(loaded(toy_family("sd-v"), **settings).info.remarks)

    assert "starts at timestep 901 of 1000" in remarks(scheduler="unipc", num_inference_steps=100)
    assert "distilled for it" in remarks(scheduler="lcm")
    trailing = {"timestep_spacing": "trailing"}
    drifting = remarks(scheduler="ddim", num_inference_steps=400, scheduler_options=trailing)
    assert "DDIMScheduler steps by 2 of 1000 timesteps where 400 steps are 2.5 apart" in drifting
    for steps in (20, 50, 100):
        said = remarks(scheduler="ddim", num_inference_steps=steps)
        assert "timestep" not in said
    for solver in ({}, {"scheduler": "ddim"}):  # its own one, too
        assert "starts at timestep 600 of 1000 with 600" in remarks(
            num_inference_steps=600, **solver
        )


@pytest.mark.parametrize("solver", ["euler", "euler_ancestral"])
def test_a_solver_that_scales_where_the_pipeline_does_not_is_refused(
    toy_family: Toys, solver: str
) -> None:
    # Kandinsky 2.2 never calls scale_model_input: images came out wrong.
    generator = loaded(toy_family("kandinsky-2.2"), scheduler=solver, num_inference_steps=3)
    with pytest.raises(GeneratorError, match="whose code does not scale what the network is"):
        image(generator)


def test_what_a_solver_would_drop_is_refused(toy_family: Toys) -> None:
    with pytest.raises(GeneratorError, match=r"extra\.eta has no effect with EulerDiscrete"):
        loaded(toy_family("sd"), scheduler="euler", extra={"eta": 0.5})
    assert image(loaded(toy_family("sd"), scheduler="ddim", extra={"eta": 0.5})).any()
    with pytest.raises(GeneratorError, match="cannot make 1001 steps: the network was trained"):
        loaded(toy_family("sd"), num_inference_steps=1001)


def test_only_classes_whose_code_clips_are_said_to_clip() -> None:
    """By the attributes that their code reads; docstrings speak of clipping that nobody does."""
    import diffusers

    for field, classes in (
        ("clip_sample", conversion._CLIP),
        ("thresholding", conversion._THRESHOLD),
    ):
        for name in schedulers._NOISE:
            source = inspect.getsource(getattr(diffusers, f"{name}Scheduler"))
            read = any(
                isinstance(node, ast.Attribute) and node.attr == field
                for node in ast.walk(ast.parse(source))
            )
            assert read == (name in classes), (name, field)


def test_a_field_that_the_own_class_does_not_read_is_not_carried_over() -> None:
    from diffusers import CogVideoXDDIMScheduler

    own = CogVideoXDDIMScheduler(prediction_type="v_prediction")
    assert own.config.clip_sample
    for name in ("ddim", "heun", "dpmsolver++"):
        config = build_scheduler(name, own, {}).config
        assert not config.get("clip_sample")
        assert not config.get("thresholding")


def test_conversion_leaves_defaults_of_the_new_class_aside() -> None:
    from diffusers import DDPMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

    pixels = DDPMScheduler()  # whose noise schedule and clipping are defaults
    heun = build_scheduler("heun", pixels, {})
    np.testing.assert_allclose(heun.alphas_cumprod, pixels.alphas_cumprod, rtol=1e-5)
    assert heun.config.clip_sample
    unipc = build_scheduler("unipc", pixels, {})
    assert unipc.config.thresholding
    assert unipc.config.sample_max_value == 1.0
    latents = EulerDiscreteScheduler()
    for name in ("ddim", "ddpm"):
        assert not build_scheduler(name, latents, {}).config.clip_sample
    there = build_scheduler("unipc", FlowMatchEulerDiscreteScheduler(shift=3.0), {})
    assert build_scheduler("euler", there, {}).config.shift == 3.0
