"""The table of paired differences, from made-up scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gandiff.evaluate.metric import ImageRecord, MetricOutput
from gandiff.evaluate.numerics.paired import holm
from gandiff.evaluate.numerics.power import detectable_difference, prompts_needed
from gandiff.evaluate.result import MetricResult
from gandiff.experiments.scoring.differences import Side, differences, sides_of, speed_differences
from gandiff.experiments.scoring.measure import Scored
from gandiff.reports.comparing import find_difference, separated
from gandiff.reports.ground import Ground
from gandiff.reports.run_data import DifferenceRow


def scored(name: str, values: Sequence[float]) -> Side:
    images = [
        ImageRecord(path=Path(f"{i}.png"), sha256=str(i), group=f"p{i // 2}")
        for i in range(len(values))
    ]
    output = MetricOutput(results=[], per_image={"m": np.array(values)})
    return sides_of([Scored(generator=name, images=images, outputs=[output])])[0]


def test_speeds_are_paired_over_the_rounds_that_both_took_part_in() -> None:
    def timed(**medians: float) -> list[MetricResult]:
        protocol = {"rounds": list(medians), "round_medians": list(medians.values())}
        value = float(np.exp(np.mean(np.log(list(medians.values())))))
        return [MetricResult(metric="latency_seconds", value=value, protocol=protocol)]

    sides = {"a": timed(x=2.0, y=4.0, z=8.0), "b": timed(x=1.0, y=2.0, z=4.0)}
    (row,) = speed_differences(sides)
    assert (row["a"], row["b"], row["metric"]) == ("a", "b", "latency_seconds")
    # The machine drifts by a factor of 4 and the ratio stays the same.
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == pytest.approx((2, 2, 2))
    assert row["difference"] == pytest.approx(2.0)
    # One that was timed later, as often, on a machine that may be another by then.
    assert list(speed_differences({**sides, "b": timed(p=1.0, q=2.0, r=4.0)})) == []
    assert list(speed_differences({**sides, "b": timed(z=4.0, q=2.0)})) == []
    (some,) = speed_differences({**sides, "b": timed(y=2.0, z=4.0, q=100.0)})
    assert some["ratio"] == pytest.approx(2)


def test_differences_change_sign_with_the_sides_and_add_up() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (scored(name, rng.normal(i, 1, 16)) for i, name in enumerate("abc"))
    ab, ac, bc = differences([a, b, c], seed=3)
    ba = differences([b, a], seed=3)[0]
    assert (ab["a"], ab["b"], ba["a"], ba["b"]) == ("a", "b", "b", "a")
    assert ab["difference"] == pytest.approx(-ba["difference"])
    assert ab["low"] == pytest.approx(-ba["high"], rel=0.1)
    assert ab["win_rate"] == pytest.approx(1 - ba["win_rate"])
    assert ac["difference"] == pytest.approx(ab["difference"] + bc["difference"])
    assert differences([a, scored("d", [np.nan] * 16)], seed=0) == []


def test_differences_say_how_sure_they_are_and_what_it_would_take() -> None:
    rng = np.random.default_rng(1)
    sides = [scored(name, rng.normal(i / 2, 1, 80)) for i, name in enumerate("abc")]
    rows = differences(sides, seed=3)
    assert [row["p_holm"] for row in rows] == holm([row["p_value"] for row in rows])
    for row in rows:
        spread = row["difference"] / row["effect_size"]
        assert row["prompts"] == 40
        assert row["prompts_needed"] == prompts_needed(row["difference"], spread)
        assert row["detectable"] == pytest.approx(detectable_difference(spread, 40))
        # More prompts are needed just where the difference is smaller than what these can show.
        assert (row["prompts_needed"] > 40) == (abs(row["difference"]) < row["detectable"])
    few = differences([scored("a", [0.0, 1.0, 2.0, 5.0]), scored("b", [1.0] * 4)], seed=0)[0]
    assert (few["prompts"], few["prompts_needed"], few["detectable"]) == (2, None, None)
    same = differences([scored("a", [1.0] * 20), scored("b", [1.0] * 20)], seed=0)[0]
    wanted = ("effect_size", "prompts_needed", "detectable", "p_holm")
    assert [same[name] for name in wanted] == [None, None, None, 1.0]


def test_two_without_a_prompt_in_common_have_no_difference_and_no_better_one() -> None:
    a, b = scored("a", [1.0, 1.1] * 40), scored("b", [0.0, 0.1] * 40)
    b = dataclasses.replace(b, images=[(f"q{prompt}", sha256) for prompt, sha256 in b.images])
    (row,) = differences([a, b], seed=0)
    assert {key: row[key] for key in ("a", "b", "metric", "prompts", "difference")} == {
        **{"a": "a", "b": "b", "metric": "m"},
        **{"prompts": 0, "difference": None},
    }
    pair = DifferenceRow(a="a", b="b", metric="m", difference=None, prompts=0)
    one, two = (
        MetricResult(metric="m", value=v, low=v - 0.1, high=v + 0.1, direction="higher")
        for v in (1.0, 0.0)
    )
    assert separated(one, two, None, Ground(prompts=80))
    assert find_difference([pair], "b", "a", "m") is not None
    assert not separated(one, two, pair, Ground(prompts=80))
