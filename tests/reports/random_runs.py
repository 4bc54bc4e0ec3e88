"""Runs whose numbers are close, far, equal or missing, with differences that fit or do not."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from verdict_helpers import ALIGNMENT, DIVERSITY, FD, facts, row

from gandiff.reports.comparing import lookup
from gandiff.reports.ground import NOISE, REAL, Anchor
from gandiff.reports.papers import named_as_in_papers
from gandiff.reports.run_data import DifferenceRow, ResultRow, RunData

NAMES = ("gan", "ddim", "third", "fourth", "fifth")
OTHER = "scene_accuracy/other_judge"
KID, LATENCY, RATE = "kid(encoder=scenes)", "latency_seconds", "images_per_second"
CLIP = "clip_score(model=scenes)"
METRICS: dict[str, tuple[float, dict[str, Any]]] = {  # the size of values, and their direction
    ALIGNMENT: (0.8, {"direction": "higher"}),
    OTHER: (0.8, {"direction": "higher"}),
    CLIP: (0.5, {"direction": "higher"}),
    FD: (300.0, {"direction": "lower"}),
    KID: (30_000.0, {"direction": "lower"}),
    DIVERSITY: (0.9, {"direction": "target", "target": 1.0}),
}


def random_run(seed: int, like: RunData) -> RunData:
    """A run whose numbers are close, far, equal or missing, with differences that fit or do not."""
    rng = np.random.default_rng(seed)
    names = NAMES[: rng.integers(2, len(NAMES) + 1)]
    prompts = int(rng.choice([5, 40, 500]))
    rows: list[ResultRow] = []
    for metric, (size, how) in METRICS.items():
        spread, half = size * rng.choice([0.0005, 0.02, 0.2, 1.0]), size * rng.choice([0.001, 0.1])
        start = size * rng.uniform(0.3, 1.1)
        for name in names:
            kind = rng.integers(0, 12)
            moved = 0.0 if kind == 1 else spread * rng.uniform(0, 1)
            value = None if kind == 0 else float(start + moved)
            if metric in (ALIGNMENT, OTHER) and value is not None:
                value = min(1.0, value)
            with_ends = None if value is None or kind == 2 else float(half * rng.uniform(0.5, 1.5))
            found = row(name, metric, value, with_ends, protocol={"encoder": "scenes"}, **how)
            rows.append(dataclasses.replace(found, result=named_as_in_papers(found.result)))
    for name in names:
        seconds = None if rng.integers(0, 6) == 0 else float(10 ** rng.uniform(-3, 1))
        rows.append(row(name, LATENCY, seconds, seconds and seconds / 9, direction="lower"))
        rate = seconds and float(rng.uniform(0.5, 4)) / seconds
        rows.append(row(name, RATE, rate, rate and rate / 9, direction="higher"))
    rng.shuffle(rows)  # type: ignore[arg-type]
    return dataclasses.replace(
        like,
        record=dataclasses.replace(like.record, headline=tuple(names[:2])),
        generators={n: facts(n, ["gan", "diffusion"][k % 2]) for k, n in enumerate(names)},
        prompts=[{}] * prompts,
        results=rows,
        differences=list(random_differences(rng, rows, names, prompts)),
        anchors=list(random_anchors(rng)),
        categories=(),
    )


def random_differences(
    rng: np.random.Generator, rows: list[ResultRow], names: tuple[str, ...], prompts: int
) -> Iterator[DifferenceRow]:
    index = lookup(rows)
    for (a, b), cost in itertools.product(itertools.combinations(names, 2), (LATENCY, RATE)):
        costs = [index[name, cost].value for name in (a, b)]
        if None not in costs and rng.integers(0, 2):
            yield random_rounds(rng, a, b, cost, *costs)  # type: ignore[arg-type]
    for (a, b), metric in itertools.product(itertools.combinations(names, 2), METRICS):
        one, two = index[a, metric], index[b, metric]
        if one.value is None or two.value is None or rng.integers(0, 3) == 0:
            continue
        size = METRICS[metric][0]
        raw = float(one.value - two.value + size * rng.choice([0.0, 0.0, 0.01, -0.2]))
        half = float(size * rng.choice([0.0, 0.0004, 0.02, 0.5]))
        more = {}
        if one.target is not None:
            apart = abs(one.value - one.target) - abs(two.value - one.target)
            more = {"farther": apart, "farther_low": apart - half, "farther_high": apart + half}
        found = DifferenceRow(
            a=a, b=b, metric=metric, difference=raw, low=raw - half, high=raw + half,
            prompts=None if rng.integers(0, 4) == 0 else prompts, **more,
            p_value=float(rng.choice([1e-5, 0.012, 0.0497, 0.3])) if rng.integers(0, 3) else None,
        )  # fmt: skip
        found = found.reaching_0()  # as runs are read
        yield found if rng.integers(0, 2) else found.flipped()


def random_rounds(
    rng: np.random.Generator, a: str, b: str, cost: str, one: float, two: float
) -> DifferenceRow:
    """What rounds in which both were timed say, drifted or not, with or without an interval."""
    ratio, width = one / two * float(rng.uniform(0.8, 1.25)), float(rng.uniform(1.001, 3.0))
    lopsided = 1.0 + (width - 1.0) * float(rng.uniform(0, 2))
    ends = (
        {"ratio_low": ratio / width, "ratio_high": ratio * lopsided} if rng.integers(0, 5) else {}
    )
    found = DifferenceRow(a=a, b=b, metric=cost, difference=one - two, ratio=ratio, **ends)
    return found if rng.integers(0, 2) else found.flipped()


def random_anchors(rng: np.random.Generator) -> Iterator[Anchor]:
    for kind, metric in itertools.product((REAL, NOISE), METRICS):
        if rng.integers(0, 2):
            value = METRICS[metric][0] * float(rng.uniform(0, 3))
            yield Anchor(anchor=kind, metric=metric, value=value, images=512)
