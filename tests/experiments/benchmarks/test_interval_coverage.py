"""The 95 % intervals hold the truth as often as they say: a short look, and a slow long one."""

from __future__ import annotations

import numpy as np
import pytest

from gandiff.experiments.benchmarks.interval_coverage import (
    Coverage,
    World,
    main,
    mean_coverage,
    metrics_of_features,
    simulate,
)

WORLDS = {
    "as it comes": World(),
    "few prompts": World(prompts=40, samples=4, width=6),
    "one sample a prompt": World(prompts=200, samples=1, width=6, between=0.0),
}


def test_most_intervals_hold_the_truth() -> None:
    world = World(prompts=60, samples=3, width=4, references=300)
    metrics = metrics_of_features()
    found = simulate(world, metrics, simulations=25) + mean_coverage(world, simulations=100)
    assert {one.metric for one in found} == {*metrics, "mean over prompts", "paired difference"}
    # With 25 simulations at 95 %, fewer than 20 hits come about once in a thousand times.
    assert [(one.metric, one.covered) for one in found if one.covered < 0.8] == []


def test_an_interval_that_is_too_narrow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # The percentile bootstrap of the Fréchet distance, which the jackknife stands in for.
    from gandiff.evaluate.metrics import frechet
    from gandiff.evaluate.numerics.frechet import FrechetReplicates
    from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance
    from gandiff.evaluate.result import Interval

    def bootstrap(features: np.ndarray, reference: GaussianStats, *_: object) -> FrechetReplicates:
        rng = np.random.default_rng(0)
        draws = [
            frechet_distance(
                GaussianStats.of(features[rng.integers(0, len(features), len(features))]), reference
            )
            for _ in range(60)
        ]
        low, high = np.quantile(draws, [0.025, 0.975])
        value = frechet_distance(GaussianStats.of(features), reference)

        class Bootstrapped(FrechetReplicates):
            def at_this_number(self) -> Interval:
                return Interval(value=value, low=float(low), high=float(high))

        return Bootstrapped(
            value=value, count=len(features), without=np.zeros(1), counts=np.ones(1, dtype=int)
        )

    world = World(prompts=50, samples=4, width=32, between=0.0)
    (jackknife,) = simulate(world, ["fd(encoder=scenes)"], simulations=16)
    monkeypatch.setattr(frechet, "frechet_replicates", bootstrap)
    (percentile,) = simulate(world, ["fd(encoder=scenes)"], simulations=16)
    assert jackknife.covered > 0.75
    assert percentile.covered < 0.2


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--simulations", "3", "--prompts", "30", "--metrics", "fd(encoder=scenes)"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "truth", "width", "covered", "(3", "each)"]
    assert lines[1].startswith("fd(encoder=scenes)")
    assert len(lines) == 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WORLDS)
def test_every_interval_covers_as_it_says(name: str) -> None:
    found: list[Coverage] = simulate(WORLDS[name], simulations=500)
    found += mean_coverage(WORLDS[name], simulations=2000)
    assert [(one.metric, one.covered) for one in found if not 0.92 <= one.covered <= 0.99] == []
