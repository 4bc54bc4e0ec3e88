"""No sentence of the verdict says what its own numbers, or the tables beside it, contradict."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_helpers import DIVERSITY, facts, pair, row, say

from gandiff.evaluate.result import About, Interval, MetricResult
from gandiff.experiments.scoring.differences import Side, differences
from gandiff.reports.axes import axis_sentence
from gandiff.reports.comparing import find_difference, goodness, lookup, separated
from gandiff.reports.cost_sentences import speed_sentence
from gandiff.reports.run_data import DifferenceRow, GeneratorFacts, ResultRow
from gandiff.reports.training_sentences import premise, training_sentence

NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"
SHARES = st.integers(0, 10**5).map(lambda n: n / 10**5)
SIGNS = st.sampled_from([-1, 1])
SIZES = st.sampled_from([0.001, 0.1, 1.0, 30.0, 2000.0])  # thousands: test_contradictions


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(NUMBER, text)]


@st.composite
def results(draw: Any) -> list[ResultRow]:
    """A metric of two generators: any direction, with and without intervals, close and far."""
    size, direction = draw(SIZES), draw(st.sampled_from(["higher", "lower", "target", "none"]))
    target = size if direction == "target" else None
    about = About(
        label="it", meaning="", axis="diversity", direction=direction, target=target,
        scale=draw(st.sampled_from(["plain", "percent"])),
    )  # fmt: skip
    rows = []
    for name in ("gan", "ddim"):
        value = size * draw(st.sampled_from([0.9, 1.0, 1.0001, 1.1]) | st.floats(0.2, 3))
        half = draw(st.none() | st.floats(0, 1)) if direction != "none" else None
        ends = {} if half is None else {"low": value - half * size, "high": value + half * size}
        result = MetricResult.of(Interval(value=value, **ends), about, metric="it")
        rows.append(ResultRow(name, result))
    return rows


@st.composite
def pairs(draw: Any, rows: list[ResultRow]) -> list[DifferenceRow]:
    """No paired difference, one that fits the values, or one over other prompts that does not."""
    if draw(st.booleans()):
        return []
    a, b = (r.result for r in rows)
    size = abs(a.value) + abs(b.value)
    raw = a.value - b.value if draw(st.booleans()) else size * draw(SHARES) * draw(SIGNS)
    half = draw(SHARES) * size
    ends = {} if draw(st.integers(0, 9)) == 0 else {"low": raw - half, "high": raw + half}
    more: dict[str, float] = {}
    if a.target is not None:
        apart = abs(a.value - a.target) - abs(b.value - a.target)
        off = draw(SHARES) * size
        more = {"farther": apart, "farther_low": apart - off, "farther_high": apart + off}
    found = DifferenceRow(
        a="gan", b="ddim", metric="it", difference=raw, prompts=90, **ends, **more
    )
    return [found if draw(st.booleans()) else found.flipped()]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_sentence_on_an_axis_is_true_of_its_numbers(data: Any) -> None:
    rows = data.draw(results())
    found = data.draw(pairs(rows))
    said = axis_sentence("diversity", lookup(rows), found, "gan", "ddim")
    values = {r.generator: r.result for r in rows}
    text, direction = said.text, rows[0].result.direction
    body = text.partition(": ")[2].replace(" %", "").replace(" (target", " target")
    if said.outcome == "tie":
        assert values["gan"].value == values["ddim"].value
        return
    first, second = re.search(rf"{NUMBER}\S* against {NUMBER}", body).groups()  # type: ignore[union-attr]
    shown = [float(n.replace(",", "")) for n in (first, second)]
    if said.outcome == "better":
        good = values[said.winner]
        bad = values["ddim" if said.winner == "gan" else "gan"]
        assert goodness(good) > goodness(bad)
        factor = 100 if good.described.scale == "percent" else 1
        apart = [abs(n - factor * good.target) if good.target is not None else n for n in shown]
        if direction == "higher":
            assert apart[0] > apart[1]
        elif direction == "lower":
            assert apart[0] < apart[1]
    if "paired, 95 %" in text:
        low, high = numbers(text.rpartition("interval ")[2].partition(";")[0])
        assert 0 < low <= high
        by = numbers(re.search(rf", {NUMBER}[^,]*? on the same", text)[0])[0]  # type: ignore[index]
        assert low * 0.99 <= by <= high * 1.01
    elif "contains 0" in text:
        low, high = numbers(re.search(r"95 % interval (.*), which", text)[1])  # type: ignore[index]
        assert low <= 0 <= high
    elif "points another way" in text or "though the values are equal" in text:
        level = goodness(values["gan"]) == goodness(values["ddim"])
        assert level == ("though the values are equal" in text)
        low, high = numbers(re.search(r"95 % interval (.*), which", text)[1])  # type: ignore[index]
        assert low > 0 or high < 0
    elif "overlap" in text:
        tail = re.search(
            r"95 % intervals(?: of the distance from \S+)?, (.*), (?:do not )?over", text
        )
        one, two = (numbers(part) for part in tail[1].split(" and "))  # type: ignore[index]
        overlap = one[0] <= two[1] and two[0] <= one[1]
        assert overlap == ("do not overlap" not in text)
    elif said.outcome == "undecided":
        assert (
            "without the intervals" in text
            or "neither direction" in text
            or "do not decide" in text
        )
    # The table marks the better one by the same rule.
    for name, other in (("gan", "ddim"), ("ddim", "gan")):
        difference = next((d if d.a == name else d.flipped() for d in found), None)
        assert separated(values[name], values[other], difference) == (said.winner == name)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.sampled_from([0.05, 0.4])
)
def test_diversity_is_decided_by_the_distance_from_the_target(
    seed: int, a: float, b: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    prompts = [(f"p{i}", None) for i in range(40)]
    sides = [
        Side(
            generator=name,
            images=prompts,
            values={DIVERSITY: rng.normal(mean, spread, 40)},
            targets={DIVERSITY: 1.0},
        )
        for name, mean in (("gan", a), ("ddim", b))
    ]
    found = differences(sides, 0)[0]
    means = [float(side.values[DIVERSITY].mean()) for side in sides]
    assert found["farther"] == pytest.approx(abs(means[0] - 1) - abs(means[1] - 1))
    assert found["farther_low"] <= found["farther"] <= found["farther_high"]
    rows = [
        row(side.generator, DIVERSITY, mean, 0.1, direction="target", target=1.0)
        for side, mean in zip(sides, means, strict=True)
    ]
    fields = {f.name for f in dataclasses.fields(DifferenceRow)}
    kept = DifferenceRow(**{k: v for k, v in found.items() if k in fields})
    said = say(rows, [kept])[2]
    if found["farther_low"] > 0:
        assert said.winner == "ddim"
    elif found["farther_high"] < 0:
        assert said.winner == "gan"
    else:
        assert said.outcome == "undecided"
        assert "paired difference in distance from 1 on the same 40 prompts" in said.text


def test_the_default_report_no_longer_says_that_intervals_overlap_which_do_not() -> None:
    rows = [
        row("gan", DIVERSITY, 0.863, 0.05, direction="target", target=1.0),
        row("ddim", DIVERSITY, 1.02, 0.085, direction="target", target=1.0),
    ]
    decided = pair(DIVERSITY, -0.157, 0.075, farther=0.117, farther_low=0.024, farther_high=0.186)
    assert say(rows, [decided])[2].text == (
        "On diversity, ddim is better: diversity (target 1) 1.02 against 0.86 for gan, 0.117 "
        "nearer to 1 on the same 40 prompts (paired, 95 % interval 0.024 to 0.186)."
    )
    unpaired = say(rows)[2].text
    assert "the 95 % intervals of the distance from 1, 0.09 to 0.19 and 0.00 to 0.10" in unpaired


def test_values_that_differ_are_written_apart_though_nothing_is_decided() -> None:
    about = About(
        label="brightness", meaning="", unit="levels", axis="diversity", direction="higher"
    )
    rows = []
    for name, value in (("gan", 127.17), ("ddim", 127.43)):
        ends = Interval(value=value, low=value - 0.28, high=value + 0.29)
        rows.append(ResultRow(name, MetricResult.of(ends, about, metric="bright")))
    said = axis_sentence("diversity", lookup(rows), [pair("bright", -0.26, 0.5)], "gan", "ddim")
    assert said.text.startswith(
        "On diversity, gan against ddim is undecided: brightness is 127.2 levels against 127.4 "
        "levels, and the paired difference on the same 40 prompts, gan minus ddim, has the 95 % "
        "interval -0.760 to 0.240 levels,"
    )


def _in_turns(data: Any, ours: float, theirs: float) -> list[DifferenceRow]:
    """The ratio in rounds, if it was measured, whose interval may hold 1 or not."""
    wide = data.draw(st.none() | st.floats(1, 3))
    if wide is None:
        return []
    ratio = ours / theirs
    ends = {"ratio": ratio, "ratio_low": ratio / wide, "ratio_high": ratio * wide}
    names = {"a": "gan", "b": "ddim", "metric": "latency_seconds"}
    return [DifferenceRow(**names, difference=ours - theirs, **ends)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_sentence_on_speed_is_true_of_its_numbers(data: Any) -> None:
    rows = []
    for name in ("gan", "ddim"):
        seconds = data.draw(st.sampled_from([0.01, 0.0100001]) | st.floats(1e-3, 100))
        half = data.draw(st.none() | st.floats(0, 0.9))
        ends = None if half is None else half * seconds
        rows.append(row(name, "latency_seconds", seconds, ends, direction="lower"))
        rows.append(row(name, "images_per_second", data.draw(st.floats(0.1, 500))))
    index = lookup(rows)
    turns = _in_turns(data, *(index[n, "latency_seconds"].value for n in ("gan", "ddim")))
    said = speed_sentence(index, ["gan", "ddim"], turns)
    latency = {n: index[n, "latency_seconds"] for n in ("gan", "ddim")}
    rate = {n: index[n, "images_per_second"].value for n in ("gan", "ddim")}
    fast, slow = sorted(latency, key=lambda n: latency[n].value)
    assert said.outcome in ("better", "undecided", "tie")
    if said.outcome == "better":
        assert said.winner == fast
        assert said.text.startswith(f"{fast} is ")
        ratio = latency[slow].value / latency[fast].value
        assert numbers(said.text)[0] == pytest.approx(ratio, rel=0.051)  # two digits
        ends = re.search(rf"\({NUMBER} to {NUMBER} times by the ends", said.text)
        if ends:
            assert float(ends[1].replace(",", "")) > 1
            assert latency[slow].low > latency[fast].high
        else:
            assert turns
    else:  # "a and b ...: x for one image against y"
        assert said.text.startswith(f"{fast} and {slow} ")
        few = not turns and None in (r.low for r in latency.values())
        why = "(too few calls were timed for an interval)"
        assert (why in said.text) == (few and said.outcome == "undecided")
    # What is bold in tables goes by the same.
    pair = find_difference(turns, fast, slow, "latency_seconds")
    bold = separated(latency[fast], latency[slow], pair)
    assert bold == (said.outcome == "better")
    assert ("but at the best batch size" in said.text) == (rate[fast] < rate[slow]) or (
        said.outcome != "better"
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_training_is_a_fact_and_unequal_training_a_premise(data: Any) -> None:
    models = []
    for name in ("gan", "ddim"):
        device = data.draw(st.sampled_from(["cpu", "cpu", "cuda", None]))
        images = data.draw(st.none() | st.sampled_from([100, 120, 121, 10**6]))
        threads = data.draw(st.none() | st.sampled_from([1, 2, 3]))
        record = {"threads": threads, "processes": 1}
        models.append(
            facts(
                name,
                training_seconds=data.draw(st.none() | st.sampled_from([60.0, 72.0, 73.0, 9000.0])),
                training_device=device,
                info={"training_images": images, "training": record},
            )
        )
    said, above = training_sentence({}, models), premise({}, models)
    assert said.winner is None
    assert said.outcome != "better"
    unknown = [model.name for model in models if not model.training_seconds]
    assert all(name in said.text for name in unknown)
    assert not unknown or "known" in said.text
    images = [model.info["training_images"] for model in models]
    minutes = [_minutes(model) for model in models]
    unequal = _ratio(images) > 1.2
    device, other = (model.training_device for model in models)
    same = device is not None and device == other and all(minutes)
    longer = same and _ratio(minutes) > 1.2
    unequal = unequal and (longer or not same)  # device-minutes are the budget
    assert (above is not None) == (unequal or longer)
    if above is not None:
        assert ("images" in above.text) == unequal
        assert ("device-minutes" in above.text) == longer
        assert above.text.endswith(
            "this compares two models as they were trained, not two families."
        )
        found = [float(n.replace(",", "")) for n in re.findall(rf"{NUMBER} times", above.text)]
        wanted = [_ratio(images)] * unequal + [_ratio(minutes)] * longer
        assert found == [pytest.approx(one, rel=0.01) for one in wanted]


def _minutes(model: GeneratorFacts) -> float | None:
    threads = model.info["training"]["threads"] if model.training_device == "cpu" else 1
    seconds = model.training_seconds
    return seconds / 60 * threads if seconds and threads else None


def _ratio(numbers_: list[Any]) -> float:
    return max(numbers_) / min(numbers_) if all(numbers_) else 0.0


def test_images_are_those_of_the_network_that_generates() -> None:
    before = {"seconds": 10.0, "images": 500, "steps": 10}
    record = {"seconds": 90.0, "images": 1500, "steps": 30, "autoencoder": before}
    models = [
        facts("gan", training_device="cpu", info={"training_images": 1000}),
        facts(
            "ddim",
            training_device="cpu",
            info={"training_images": 1500, "training": record},
        ),
    ]
    assert premise({}, models) is None


def test_the_premise_names_both_numbers_and_stands_first() -> None:
    generators = {
        "gan": facts(
            "gan",
            training_seconds=9000.0,
            info={"training_images": 1_520_000, "training": {"threads": 2}},
        ),
        "ddim": facts(
            "ddim",
            "diffusion",
            training_seconds=2280.0,
            info={"training_images": 173_000, "training": {"threads": 1}},
        ),
    }
    found = say([], generators=generators)
    assert found[0].text == (
        "gan was trained on 8.79 times as many images (1.52 M against 173 k) and for 7.89 times as "
        "many device-minutes (threads \u00d7 time: 300 against 38) as ddim: this compares two "
        "models as they were trained, not two families."
    )
    assert found[-1].text == (
        "gan took 2.50 h to train on cpu (2 threads) and ddim 38 min on cpu (1 thread)."
    )
