"""Whether an image depends on its request alone, seen from a few images that are made to look."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gandiff.models.generator import Generation, GenerationRequest

Generate = Callable[[Sequence[GenerationRequest]], Sequence[Generation]]
# Levels of 255. Arithmetic of another batch size moves single values by one; in half precision
# whole images by little.
_MOST, _MEAN = 2, 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Independence:
    """What a look at two requests has shown.

    ``outside``: the image of a seed depends on randomness that is drawn outside its own generator.
    ``batch_dependent``: it depends on what else is made in the same call. ``generations`` are all
    that were made, with the reasons of those that failed. ``batch_failure`` says why both in one
    call failed where each in a call of its own works.
    """

    outside: bool
    batch_dependent: bool
    generations: tuple[Generation, ...]
    batch_failure: str | None = None

    @property
    def one_by_one(self) -> bool:
        """Whether each image has to be made in a call of its own."""
        return self.batch_dependent or self.batch_failure is not None

    @property
    def problem(self) -> str | None:
        """Why such a generator cannot be compared, None where it can."""
        if not self.outside:
            return None
        return (
            "the same prompt and seed give different images: something draws random numbers "
            "outside the image's own generator; switch it off (with extra, such as use_pe: false, "
            "or another scheduler)"
        )

    @property
    def remark(self) -> str | None:
        """What a reader of the results should know, None where there is nothing."""
        if self.batch_failure is not None:
            return (
                "several images in one call fail, so each is made in a call of its own "
                f"({self.batch_failure})"
            )
        if not self.batch_dependent:
            return None
        return "an image depends on the others in its batch, so each is made in a call of its own"


def check_independence(
    generate: Generate,
    first: GenerationRequest,
    second: GenerationRequest,
    *,
    exact: bool = True,
) -> Independence:
    """Make ``first`` alone and then beside ``second``, with other global random numbers around it.

    Two calls where the images of ``first`` agree, and a third one, which tells what it depends on,
    where they do not. The prompts should differ in length: some pipelines pad them to the longest.
    ``exact`` is for single precision; half precision is allowed to move an image a little with the
    size of the batch. The global random states are left as they were.
    """
    with global_seeds(1):
        alone = generate([first])
    with global_seeds(2):
        beside = generate([second, first])
    made = (*alone, *beside)
    outside = dependent = False
    if not _alike(alone[0], beside[-1], exact):
        with global_seeds(2):
            again = generate([first])
        made = (*made, *again)
        outside = not _alike(alone[0], again[0], exact)
        dependent = not outside and not _alike(again[0], beside[-1], exact)
    return Independence(outside=outside, batch_dependent=dependent, generations=made)


def _alike(one: Generation, other: Generation, exact: bool) -> bool:
    if one.image is None or other.image is None:
        return one.image is other.image
    if one.image.shape != other.image.shape:
        return False
    apart = np.abs(one.image.astype(int) - other.image.astype(int))
    return bool(apart.max() <= _MOST if exact else apart.mean() <= _MEAN)


@contextlib.contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Seed what draws without a generator of its own, and put the states back afterwards."""
    import torch

    before: tuple[Any, ...] = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of every device
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if devices:
            torch.cuda.set_rng_state_all(devices)
