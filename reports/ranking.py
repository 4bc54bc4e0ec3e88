"""Whether the order of the generators depends on how the distance to the reference is measured."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from gandiff.evaluate.result import MetricResult
from gandiff.reports.comparing import find_difference, goodness, separated
from gandiff.reports.run_data import DifferenceRow, RunData
from gandiff.reports.sentence import distinct_labels

Results = Mapping[str, MetricResult]  # of one metric, by generator


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convention:
    """One way to measure the distance: the generators from best to worst, and Kendall's tau with
    every convention in turn, itself included.
    """

    metric: str
    label: str
    order: tuple[str, ...]
    taus: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swap:
    """Two generators of which ``first`` is the better one by metric ``one`` and ``second`` by
    ``other``.

    ``unsure`` are those of the two metrics whose intervals do not separate them; without any the
    swap is more than chance.
    """

    first: str
    second: str
    one: str
    other: str
    unsure: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """The order of the generators by each convention, and what to think of it."""

    conventions: tuple[Convention, ...]
    swaps: tuple[Swap, ...]  # one for each pair of generators that changes places, surest first
    sentence: str


def ranking(run: RunData) -> Ranking | None:
    """Compare the orders over the models that all conventions have measured; yardsticks are none.

    None where there are fewer than two such generators or fewer than two conventions.
    """
    measured = _measured(run)
    names = [n for n in run.generators if all(n in results for results in measured.values())]
    if len(measured) < 2 or len(names) < 2:
        return None
    goods = {
        metric: [goodness(results[name]) or 0.0 for name in names]
        for metric, results in measured.items()
    }
    labels = distinct_labels(
        {m: next(iter(r.values())).described.label for m, r in measured.items()}
    )
    conventions = tuple(
        Convention(
            metric=metric,
            label=labels[metric],
            order=tuple(name for _, name in sorted(zip(good, names, strict=True), key=_from_best)),
            taus=tuple(kendall_tau(good, other) for other in goods.values()),
        )
        for metric, good in goods.items()
    )
    pairs = itertools.combinations(names, 2)
    swaps = sorted(
        (swap for a, b in pairs if (swap := _surest_swap(run, measured, a, b)) is not None),
        key=lambda swap: len(swap.unsure),
    )
    return Ranking(conventions=conventions, swaps=tuple(swaps), sentence=_sentence(labels, swaps))


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b, -1..1, of two lists of values in the same order; 0 where one has ties alone.

    Kendall, "The treatment of ties in ranking problems" (1945).
    """
    from scipy.stats import kendalltau  # heavy, and needed where there are several conventions

    tau = float(kendalltau(a, b).statistic)
    return 0.0 if math.isnan(tau) else tau


def _measured(run: RunData) -> dict[str, Results]:
    """The conventions that two models or more were measured by.

    Encoder, resize filter and estimator are conventions, and a generator that is really nearer
    should be so under all of them.
    """
    found: dict[str, dict[str, MetricResult]] = {}
    for row in run.results:
        model = not run.generators[row.generator].yardstick
        if model and row.result.described.is_distance and goodness(row.result) is not None:
            found.setdefault(row.result.metric, {})[row.generator] = row.result
    return {metric: results for metric, results in found.items() if len(results) > 1}


def _from_best(item: tuple[float, str]) -> float:
    return -item[0]


def _sign(x: float) -> int:
    return (x > 0) - (x < 0)


def _surest_swap(run: RunData, measured: Mapping[str, Results], a: str, b: str) -> Swap | None:
    """The swap of two generators that the most intervals bear out."""
    swaps = list(_swaps(run, measured, a, b))
    return min(swaps, key=lambda swap: len(swap.unsure)) if swaps else None


def _swaps(run: RunData, measured: Mapping[str, Results], a: str, b: str) -> Iterator[Swap]:
    ahead = {  # of which generator is better, and whether by more than chance
        metric: _ahead(run, results[a], results[b], find_difference(run.differences, a, b, metric))
        for metric, results in measured.items()
    }
    for one, other in itertools.combinations(measured, 2):
        if ahead[one][0] * ahead[other][0] < 0:
            first, second = (a, b) if ahead[one][0] > 0 else (b, a)
            unsure = tuple(metric for metric in (one, other) if not ahead[metric][1])
            yield Swap(first=first, second=second, one=one, other=other, unsure=unsure)


def _ahead(
    run: RunData, a: MetricResult, b: MetricResult, pair: DifferenceRow | None
) -> tuple[int, bool]:
    """1 if a is better, -1 if b is, 0 if neither; and whether that is more than chance."""
    sign = _sign((goodness(a) or 0.0) - (goodness(b) or 0.0))
    turned, ground = pair and pair.flipped(), run.ground
    return sign, separated(a, b, pair, ground) or separated(b, a, turned, ground)


def _sentence(labels: Mapping[str, str], swaps: Sequence[Swap]) -> str:
    under = "both conventions" if len(labels) == 2 else f"all {len(labels)} conventions"
    if not swaps:
        return f"The order of the generators is the same under {under}."
    swap = swaps[0]
    one, other = labels[swap.one], labels[swap.other]
    between = f"{swap.first} and {swap.second} change places between {one} and {other}"
    if swap.unsure:
        where = "either" if len(swap.unsure) == 2 else labels[swap.unsure[0]]
        why = f"though the intervals do not separate them under {where}"
    else:
        why = "and the intervals separate them under both"
    text = f"The order of the generators is not the same under {under}: {between}, {why}."
    others = len(swaps) - 1
    if not others:
        return text
    return f"{text} {others} more {'pair changes' if others == 1 else 'pairs change'} places."
