"""What an image depends on besides its request, found with images of toys that do so."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import Generation, GenerationRequest
from gandiff.models.independence import check_independence, global_seeds

FIRST, SECOND = (
    GenerationRequest(prompt="a star", seed=1),
    GenerationRequest(prompt="a red star left of a blue ring", seed=2),
)
Draw = Callable[[GenerationRequest, Sequence[GenerationRequest]], np.ndarray]


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


class Toy:
    """A generator of one picture a request, which counts its calls."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.calls = draw, 0

    def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self.calls += 1
        return [Generation(image=self.draw(request, requests)) for request in requests]


def test_two_calls_are_enough_where_all_is_well() -> None:
    toy = Toy(lambda request, _: image(request.seed))
    seen = check_independence(toy, FIRST, SECOND)
    assert (toy.calls, seen.outside, seen.batch_dependent) == (2, False, False)
    assert (seen.problem, seen.remark) == (None, None)
    assert len(seen.generations) == 3


def test_the_global_states_are_left_as_they_were() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    with global_seeds(5):
        assert (random.random(), float(torch.rand(())), np.random.rand()) == pytest.approx(
            (0.6229, 0.8303, 0.2220), abs=1e-4
        )
    assert before[1] == random.getstate()
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[2], np.random.get_state()[1])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: int(torch.randint(1000, ())),
        lambda: random.randrange(1000),
        lambda: int(np.random.randint(1000)),
        lambda: int.from_bytes(random.SystemRandom().randbytes(3), "big"),
    ],
)
def test_randomness_from_outside_is_a_problem(draw: Callable[[], int]) -> None:
    seen = check_independence(Toy(lambda request, _: image(request.seed + draw())), FIRST, SECOND)
    assert (seen.outside, seen.batch_dependent) == (True, False)
    assert "the same prompt and seed give different images" in (seen.problem or "")


def test_neighbours_that_matter_are_remarked() -> None:
    longest: Draw = lambda request, batch: image(  # noqa: E731
        request.seed + max(len(one.prompt) for one in batch)
    )
    seen = check_independence(Toy(longest), FIRST, SECOND)
    assert (seen.outside, seen.batch_dependent, seen.problem) == (False, True, None)
    assert "each is made in a call of its own" in (seen.remark or "")


def test_rounding_is_no_dependence() -> None:
    rounded: Draw = lambda request, batch: image(request.seed) // 2 + (len(batch) > 1)  # noqa: E731
    assert not check_independence(Toy(rounded), FIRST, SECOND).batch_dependent


def test_a_failed_image_is_told_from_a_good_one() -> None:
    def generate(requests: Sequence[GenerationRequest]) -> list[Generation]:
        if len(requests) > 1:
            failed = Generation(image=None, status="failed", reason="no batches")
            return [failed] * len(requests)
        return [Generation(image=image(1))]

    seen = check_independence(generate, FIRST, SECOND)
    assert seen.batch_dependent
    assert [one.reason for one in seen.generations if one.reason] == ["no batches"] * 2


def test_a_solver_with_noise_of_its_own_is_caught(toy_pipeline: Path) -> None:
    import diffusers

    settings = DiffusersSettings(
        pipeline=str(toy_pipeline), num_inference_steps=2, guidance_scale=1
    )
    generator = DiffusersGenerator(name="toy", settings=settings)
    generator.load()
    assert not check_independence(generator.generate, FIRST, SECOND).outside

    class Stray(diffusers.DDIMScheduler):
        """Adds noise that no generator gives."""

        def step(self, *args: object, **kwargs: object) -> object:
            sample, *rest = super().step(*args, **kwargs)
            return (sample + 0.3 * torch.randn_like(sample), *rest)

    solver = generator._solver
    assert solver is not None
    solver.scheduler = Stray.from_config(solver.scheduler.config)
    assert check_independence(generator.generate, FIRST, SECOND).outside


def test_images_that_depend_on_their_batch_are_made_one_by_one(toy_pipeline: Path) -> None:
    settings = DiffusersSettings(
        pipeline=str(toy_pipeline), num_inference_steps=1, guidance_scale=1
    )
    generator = DiffusersGenerator(name="toy", settings=settings)
    generator.load()
    run, sizes = generator._run, []

    def counted(pipe: object, requests: list[GenerationRequest]) -> list[Generation]:
        sizes.append(len(requests))
        return run(pipe, requests)

    generator._run = counted  # type: ignore[method-assign]
    generator.generate(toys.requests(3))
    generator.one_by_one = True
    made = generator.generate(toys.requests(3, negative=(1,)))
    assert sizes == [3, 1, 1, 1]
    assert [one.status for one in made] == ["ok"] * 3
