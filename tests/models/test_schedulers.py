from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toys

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.conversion import build_scheduler
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.schedulers import SOLVERS, kind_of
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.trace import StepRecorder

# Some solvers convert torch numbers in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def loaded(pipeline: Path, **settings: Any) -> DiffusersGenerator:
    chosen = {"num_inference_steps": 4, "guidance_scale": 1.0, **settings}
    generator = DiffusersGenerator(
        name="toy", settings=DiffusersSettings(pipeline=str(pipeline), **chosen)
    )
    generator.load()
    return generator


@pytest.fixture(scope="module")
def original(toy_pipeline: Path) -> tuple[DiffusersGenerator, Any]:
    """The toy, loaded once, and the scheduler that it came with."""
    generator = loaded(toy_pipeline)
    assert generator._solver is not None
    return generator, generator._solver.scheduler


@pytest.fixture(params=SOLVERS)
def solved(
    request: pytest.FixtureRequest, original: tuple[DiffusersGenerator, Any]
) -> DiffusersGenerator:
    """The toy with each solver in turn."""
    generator, scheduler = original
    assert generator._solver is not None
    generator._solver.scheduler = build_scheduler(request.param, scheduler, {})
    return generator


def test_every_solver_draws_and_recording_changes_no_bit(solved: DiffusersGenerator) -> None:
    assert solved._solver is not None
    scheduler = solved._solver.scheduler
    requests = toys.requests(1)
    plain = solved.generate(requests)[0].image
    assert plain is not None
    with StepRecorder(holding(scheduler)) as recorder:
        recorded = solved.generate(requests)[0].image
    np.testing.assert_array_equal(plain, recorded)
    assert len(recorder.stages[0].steps) == len(scheduler.timesteps)
    assert "step" not in vars(scheduler)


def test_every_solver_ends_near_its_last_estimate(solved: DiffusersGenerator) -> None:
    request = toys.requests(1)[0]
    image = solved.generate([request])[0].image
    assert image is not None
    first, last = solved.trace(request, [0.0, 1.0])
    assert first.estimate is not None
    assert last.estimate is not None
    np.testing.assert_array_equal(last.noisy, image)
    error = np.abs(last.estimate.astype(int) - image).mean()
    assert error < 6
    assert np.abs(first.estimate.astype(int) - image).mean() > error
    assert (first.step, last.step) == (0, last.steps)
    assert first.timestep > last.timestep


def holding(scheduler: Any) -> Any:
    """What a recorder takes for a pipeline."""
    return SimpleNamespace(components={"scheduler": scheduler})


def noise_levels(scheduler: Any, timestep: float) -> tuple[float, float]:
    """alpha and sigma of the training's noise schedule, between its steps by interpolation."""
    ratio = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5
    sigma = float(np.interp(timestep, np.arange(len(ratio)), ratio.numpy()))
    return (1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("kdpm2")])
def test_estimates_are_right_where_the_answer_is_known(name: str, prediction: str) -> None:
    """A perfect network of a data set of one image knows x_0 at every step."""
    from diffusers import DDIMScheduler

    original = DDIMScheduler(clip_sample=False, steps_offset=1, prediction_type=prediction)
    scheduler = build_scheduler(name, original, {})
    scheduler.set_timesteps(8)
    random = torch.Generator().manual_seed(0)
    truth = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 4, 4)
    x = torch.randn(truth.shape, generator=random) * scheduler.init_noise_sigma
    with StepRecorder(holding(scheduler)) as recorder:
        for timestep in scheduler.timesteps:
            seen = scheduler.scale_model_input(x, timestep)
            alpha, sigma = noise_levels(scheduler, float(timestep))
            noise = (seen - alpha * truth) / sigma
            output = noise if prediction == "epsilon" else alpha * noise - sigma * truth
            stochastic = {"generator": random} if name in ("ddpm", "lcm", "tcd") else {}
            x = scheduler.step(output, timestep, x, return_dict=False, **stochastic)[0]
    (stage,) = recorder.stages
    assert len(stage.steps) == len(scheduler.timesteps)
    for step in stage.steps:
        assert step.estimate is not None
        torch.testing.assert_close(step.estimate, truth, atol=0.02, rtol=0)


@pytest.mark.parametrize("name", [n for n, solver in SOLVERS.items() if solver.flow is not None])
def test_flow_matching_keeps_its_kind_and_its_shift(name: str) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    original = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler = build_scheduler(name, original, {})
    assert kind_of(type(scheduler).__name__, scheduler.config) == "flow"
    config = scheduler.config
    assert config.get("flow_shift", config.get("shift")) == 3.0
    scheduler.set_timesteps(6)
    truth = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 4, 4)
    x = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    with StepRecorder(holding(scheduler)) as recorder:
        for timestep in scheduler.timesteps:
            sigma = float(timestep) / 1000
            x = scheduler.step((x - truth) / sigma, timestep, x, return_dict=False)[0]
    torch.testing.assert_close(x, truth, atol=0.05, rtol=0)
    for step in recorder.stages[0].steps:
        assert step.estimate is not None
        torch.testing.assert_close(step.estimate, truth, atol=0.05, rtol=0)


def test_solvers_without_a_flow_form_are_refused_for_flow_models() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    with pytest.raises(
        GeneratorError, match=r"'ddim' cannot drive a flow-matching .* use one of eu"
    ):
        build_scheduler("ddim", FlowMatchEulerDiscreteScheduler(), {})


@pytest.mark.parametrize("name", SOLVERS)
def test_the_training_schedule_is_kept(name: str) -> None:
    from diffusers import DDIMScheduler

    original = DDIMScheduler(
        beta_start=0.001,
        beta_end=0.015,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
    )
    config = build_scheduler(name, original, {}).config
    for key in ("beta_start", "beta_end", "beta_schedule", "prediction_type"):
        assert config[key] == original.config[key]


def test_options_are_checked_and_take_effect(toy_pipeline: Path) -> None:
    with pytest.raises(GeneratorError, match="no option 'use_karras'; did you mean 'use_karras_s"):
        loaded(toy_pipeline, scheduler="euler", scheduler_options={"use_karras": True})
    with pytest.raises(GeneratorError, match="DDIMScheduler has no option 'shift'"):
        loaded(toy_pipeline, scheduler_options={"shift": 3})
    plain = loaded(toy_pipeline, scheduler="euler")
    karras = loaded(toy_pipeline, scheduler="euler", scheduler_options={"use_karras_sigmas": True})
    own = loaded(toy_pipeline, scheduler_options={"timestep_spacing": "trailing"})
    assert own._solver is not None
    assert own._solver.scheduler.config.timestep_spacing == "trailing"
    images = [g.generate(toys.requests(1))[0].image for g in (plain, karras)]
    assert images[0] is not None
    assert images[1] is not None
    assert (images[0] != images[1]).any()


def test_too_many_steps_are_found_while_loading(toy_pipeline: Path) -> None:
    with pytest.raises(GeneratorError, match="LCMScheduler cannot make 60 steps"):
        loaded(toy_pipeline, scheduler="lcm", num_inference_steps=60)


def test_the_hook_goes_away_after_an_error(original: tuple[DiffusersGenerator, Any]) -> None:
    from diffusers import DDIMScheduler

    class Broken(DDIMScheduler):
        def step(self, model_output: Any, timestep: Any, sample: Any, **more: Any) -> Any:
            raise RuntimeError("no more")

    generator, scheduler = original
    assert generator._solver is not None
    generator._solver.scheduler = Broken.from_config(scheduler.config)
    with pytest.raises(RuntimeError, match="no more"):
        generator.trace(toys.requests(1)[0], [0.0])
    assert "step" not in vars(generator._solver.scheduler)


def test_the_hook_leaves_another_hook_in_place() -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler()
    mine = scheduler.step
    scheduler.step = mine
    with StepRecorder(holding(scheduler)):
        assert scheduler.step is not mine
    assert scheduler.step is mine


OPEN: list[tuple[dict[str, Any], str]] = [
    ({"extra": {"clip_skip": "two"}}, r"extra\.clip_skip: must be a whole number, got 'two'"),
    ({"extra": {"eta": "much"}}, r"extra\.eta: must be a number, got 'much'"),
    ({"extra": {"guidance_rescale": [1]}}, r"extra\.guidance_rescale: must be a number"),
    ({"extra": {"clip_skpi": 2}}, r"no argument 'clip_skpi' .*did you mean 'clip_skip'"),
    ({"extra": {"cross_attention_kwargs": "scale"}}, r"extra\.cross_attention_kwargs: must be"),
    ({"scheduler_options": {"beta_start": "low"}}, r"scheduler_options\.beta_start: must be"),
    ({"scheduler_options": {"clip_sample": "no"}}, r"scheduler_options\.clip_sample: must be true"),
    (
        {"scheduler": "dpmsolver++", "scheduler_options": {"solver_order": "third"}},
        r"scheduler_options\.solver_order: must be a whole number, got 'third' \(of DPMSolverM",
    ),
    ({"scheduler_options": {"clip_sampel": True}}, "did you mean 'clip_sample'"),
]


@pytest.mark.parametrize(("settings", "said"), OPEN)
def test_open_mappings_are_checked_before_anything_is_loaded(
    toy_pipeline: Path, settings: dict[str, Any], said: str
) -> None:
    chosen = DiffusersSettings(pipeline=str(toy_pipeline), num_inference_steps=2, **settings)
    with pytest.raises(GeneratorError, match=said) as refused:
        DiffusersGenerator("toy", chosen)
    assert "\n" not in str(refused.value)


def test_values_that_only_the_solver_knows_are_refused_when_loaded(toy_pipeline: Path) -> None:
    for options in ({"beta_schedule": "steep"}, {"num_train_timesteps": 0}):
        chosen = DiffusersSettings(
            pipeline=str(toy_pipeline), num_inference_steps=2, scheduler_options=options
        )
        with pytest.raises(GeneratorError, match="cannot"):
            DiffusersGenerator("toy", chosen).load()


def test_values_of_the_right_type_are_taken(toy_pipeline: Path) -> None:
    chosen = DiffusersSettings(
        pipeline=str(toy_pipeline),
        num_inference_steps=2,
        scheduler_options={"beta_start": 0.001, "trained_betas": None, "steps_offset": 0},
        extra={"eta": 1, "clip_skip": None, "guidance_rescale": 0.5},
    )
    generator = DiffusersGenerator("toy", chosen)
    generator.load()
    assert generator.generate(toys.requests(1))[0].image is not None
