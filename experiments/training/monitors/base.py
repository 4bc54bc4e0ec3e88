"""How good a generator is while it trains: measured at ticks on captions and pictures kept apart.

What is chosen by these numbers (the best checkpoint, a sweep's winner) is chosen on validation
captions; test captions are for reports.
"""

from __future__ import annotations

import abc
import copy
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.distance import pdist

SEED = 20_000  # of the noise


@runtime_checkable
class Sampler(Protocol):
    """What is measured: a training that pictures can be had from."""

    def sample(self, captions: list[str], seed: int) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures of the averaged network; picture i has noise i of the seed."""

    def tick_facts(self) -> dict[str, float]:
        """What only this kind of training measures of itself."""


class Monitor(abc.ABC):
    """Measures the averaged generator; its score says which of two moments is better."""

    captions: list[str]  # one for each picture; those of one prompt stand together
    per_prompt: int
    dimensions: int  # of the features that the Fréchet distance is computed from
    references: int  # real pictures that it is a distance from

    @property
    def prompts(self) -> list[str]:
        """Each prompt once."""
        return self.captions[:: self.per_prompt]

    def first(self, prompts: int) -> Monitor:
        """The same measurements on the first prompts alone."""
        fewer = copy.copy(self)
        fewer.captions = self.captions[: prompts * self.per_prompt]
        return fewer

    @abc.abstractmethod
    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        """A score, higher is better, and what it was computed from."""

    def at_setting(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> dict[str, Any]:
        """What a finished model gives at one of several settings, as a row of its record.

        ``pictures``, ``references`` and ``dimensions`` say how far its Fréchet distance is to be
        trusted: of few pictures it is mostly bias.
        """
        score, measured = self.measure(pictures)
        counts = {name: getattr(self, name) for name in ("references", "dimensions")}
        numbers = {"score": score, "pictures": len(pictures), **counts, **measured}
        return {name: round(value, 4) for name, value in numbers.items()}

    def real_against_real(self) -> dict[str, Any]:
        """The same of as many other real pictures: what a perfect model would get.

        Empty where there are no others.
        """
        return {}

    def __call__(self, sampler: Sampler) -> tuple[float, dict[str, float]]:
        """Generate pictures and measure them, and the training by its own measurements."""
        score, measured = self.measure(sampler.sample(self.captions, SEED))
        return score, {"score": score, **measured, **sampler.tick_facts()}


def spread(features: Float[np.ndarray, "n d"], per_prompt: int) -> float:
    """Mean distance between two pictures of one prompt; those of a prompt stand together."""
    groups = features.reshape(-1, per_prompt, features.shape[1])
    total = sum(float(pdist(group).sum()) for group in groups)
    return 2 * total / (len(groups) * per_prompt * max(1, per_prompt - 1))
