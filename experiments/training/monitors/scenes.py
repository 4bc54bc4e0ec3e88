"""What ticks measure of a generator that is trained on scenes: a frozen judge reads pictures."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.evaluate.extractors.scenes import load_classifier
from gandiff.evaluate.metrics.manifold import manifold_values
from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance
from gandiff.evaluate.numerics.matching import KINDS, judge_facts, open_values
from gandiff.evaluate.numerics.variation import further_values, reverse_kl
from gandiff.experiments.scenes.captions import matching_scenes
from gandiff.experiments.scenes.render import render
from gandiff.experiments.scenes.suite import scene_suite
from gandiff.experiments.training.monitors.base import Monitor, spread

_PROMPTS, _PER_PROMPT = 250, 4
_NEAREST = 5


class SceneMonitor(Monitor):
    """Alignment, variation and distribution on the first validation prompts.

    The real pictures beside them are drawn for the same prompts. The score is the share of pictures
    with every stated fact right, times the coverage of what prompts leave open (1 at most), so that
    neither can be had at the other's cost.
    """

    def __init__(self, per_prompt: int = _PER_PROMPT) -> None:
        self.per_prompt = per_prompt
        suite = scene_suite("validation", _PROMPTS)
        self.expected: list[Mapping[str, Any]] = [one["expected"] for one in suite]
        self.captions = [one["text"] for one in suite for _ in range(per_prompt)]
        self._judge = load_classifier("a")
        real = self._real_scenes(0)
        self._real = self._judge.predict(real)
        self._features = self._judge.features(real)
        self.references, self.dimensions = self._features.shape
        self._spread = spread(self._features, per_prompt)

    def _real_scenes(self, first: int) -> UInt8[np.ndarray, "n 32 32 3"]:
        """Scenes of the prompts, drawn from seeds that begin with the first."""
        drawn = [
            render(matching_scenes(expected, self.per_prompt, first + i), 32)
            for i, expected in enumerate(self.expected)
        ]
        return np.concatenate(drawn)

    def first(self, prompts: int) -> SceneMonitor:
        """The same measurements on the first prompts, and on the real pictures of these."""
        fewer, rows = copy.copy(self), prompts * self.per_prompt
        fewer.captions = self.captions[:rows]
        fewer.expected = self.expected[:prompts]
        fewer._real, fewer._features = self._real[:rows], self._features[:rows]
        fewer.references = len(fewer._features)
        fewer._spread = spread(fewer._features, self.per_prompt)
        return fewer

    def real_against_real(self) -> dict[str, Any]:
        """What other scenes of the same prompts get."""
        return self.at_setting(self._real_scenes(_PROMPTS))

    def measure(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> tuple[float, dict[str, float]]:
        """Everything that the report shows against kimg."""
        seen, features = self._judge.predict(pictures), self._judge.features(pictures)
        shares = accuracy(self.expected, seen, self.per_prompt)
        coverage, kl = variation(self.expected, seen, self._real, self.per_prompt)
        _, recall, _, covered = manifold_values(features, self._features, _NEAREST)
        fd = frechet_distance(GaussianStats.of(features), GaussianStats.of(self._features))
        measured = {
            **shares,
            "unstated_coverage": coverage,
            "reverse_kl": kl,
            "diversity": spread(features, self.per_prompt) / self._spread,
            "fd": fd,
            "recall": recall,
            "coverage": covered,
        }
        return shares["all"] * min(1.0, coverage), measured


def accuracy(
    expected: Sequence[Mapping[str, Any]], seen: Sequence[Mapping[str, Any]], per_prompt: int
) -> dict[str, float]:
    """Mean share of stated facts that are right, by kind, and of pictures with all of them."""
    shares: dict[str, list[float]] = defaultdict(list)
    for i, picture in enumerate(seen):
        for kind, share in judge_facts(expected[i // per_prompt], picture).items():
            shares[kind].append(share)
    names = ("all", "held_out_all", *KINDS)
    return {name: float(np.mean(shares[name])) for name in names if name in shares}


def variation(
    expected: Sequence[Mapping[str, Any]],
    made: Sequence[Mapping[str, Any]],
    real: Sequence[Mapping[str, Any]],
    per_prompt: int,
) -> tuple[float, float]:
    """Coverage of what prompts leave open, and reverse KL in nats; see ``evaluate.unstated``."""
    above = below = 0.0
    pools: dict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for i, one in enumerate(expected):
        rows = slice(i * per_prompt, (i + 1) * per_prompt)
        ours, theirs = _open(one, made[rows]), _open(one, real[rows])
        for place in ours.keys() & theirs.keys():
            pools[place[0]][0].extend(ours[place])
            pools[place[0]][1].extend(theirs[place])
            pair = further_values(ours[place], theirs[place])
            if pair is not None:
                above, below = above + pair[0], below + pair[1]
    kls, weights = [], []
    for a, b in pools.values():
        values = sorted({*a, *b})
        if a and len(values) > 1:
            counts = [np.array([part.count(v) for v in values], float) for part in (a, b)]
            kls.append(float(reverse_kl(*counts)))
            weights.append(len(b))
    kl = float(np.average(kls, weights=weights)) if kls else 0.0
    return (above / below if below else 0.0), kl


def _open(
    expected: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, int], list[Any]]:
    """Values of each open attribute in a prompt's pictures, without those that do not show it."""
    out: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for picture in pictures:
        for kind, values in open_values(expected, picture).items():
            for place, value in enumerate(values):
                if value is not None:
                    out[kind, place].append(value)
    return out
