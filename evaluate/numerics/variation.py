"""How categories vary: different values at equal numbers, and divergence from a distribution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.evaluate.numerics.statistics import add_up, jackknife_interval
from gandiff.evaluate.result import Interval

_PRIOR = 0.5  # added to each count of the real images, so that a value they lack has no infinite KL

Values = Sequence[Any]


def expected_distinct(values: Values, draws: int) -> float:
    """How many different values ``draws`` of these would have on average, drawn without
    replacement: rarefaction (Hurlbert 1971, "The Nonconcept of Species Diversity", eq. 8).

    It is unbiased for as many independent draws from the distribution that the values came from.
    """
    total = math.comb(len(values), draws)
    absent = sum(math.comb(len(values) - n, draws) for n in Counter(values).values())
    return len(set(values)) - absent / total


def further_values(made: Values, real: Values) -> tuple[float, float] | None:
    """How many values beside the first the images of one prompt show, and real images of it, at
    equal numbers; None for fewer than two of either.
    """
    draws = min(len(made), len(real))
    if draws < 2:
        return None
    return expected_distinct(made, draws) - 1, expected_distinct(real, draws) - 1


def reverse_kl(
    made: Float[np.ndarray, "*b v"], real: Float[np.ndarray, "*b v"]
) -> Float[np.ndarray, "*b"]:
    """KL(made || real) in nats of counts over the same v values.

    The plug-in estimate; the real counts get 1/2 each (Krichevsky and Trofimov 1981).
    """
    p = made / made.sum(axis=-1, keepdims=True)
    q = (real + _PRIOR) / (real + _PRIOR).sum(axis=-1, keepdims=True)
    terms = p * np.log(np.where(p > 0, p, 1.0) / q)
    return np.asarray(terms.sum(axis=-1))


def corrected_kl(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], clusters: Sequence[str] | None = None
) -> Interval:
    """Mean over kinds of the reverse KL without the bias of few images, which makes it too high.

    Each kind's table holds counts (prompts, values), made and real, prompts in the same order; a
    kind weighs as much as it has real values. Leave-one-prompt-out jackknife: P T - (P-1) mean
    T_(-p) (Quenouille 1956) removes the bias of order 1/P, so a perfect generator gets 0 on average
    and may be slightly below. The interval leaves out whole ``clusters`` of prompts, one name each.
    """
    if clusters is not None and len(set(clusters)) < len(clusters):
        value = corrected_kl(tables).value
        merged = [(_merge(made, clusters), _merge(real, clusters)) for made, real in tables]
        fewer = corrected_kl(merged)
        ends = (
            None if end is None else value + end - fewer.value for end in (fewer.low, fewer.high)
        )
        return Interval(value=value, low=next(ends), high=next(ends))
    totals, replicates = [], []
    weights = [float(real.sum()) for _, real in tables]
    for made, real in tables:
        made, real = made.astype(np.float64), real.astype(np.float64)
        totals.append(float(reverse_kl(made.sum(axis=0), real.sum(axis=0))))
        replicates.append(reverse_kl(made.sum(axis=0) - made, real.sum(axis=0) - real))
    value = float(np.average(totals, weights=weights))
    left_out = np.average(replicates, axis=0, weights=weights)
    prompts = len(left_out)
    corrected = prompts * value - (prompts - 1) * float(left_out.mean())
    return jackknife_interval(corrected, left_out)


def _merge(table: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """The counts of the prompts of each cluster together."""
    return np.stack(add_up(clusters, *table.T), axis=1)
