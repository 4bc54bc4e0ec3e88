"""How many prompts it takes to see a difference between two generators that share them.

To see a difference is to get a 95 % interval of the paired difference that leaves out 0; the power
is the chance of it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from gandiff.common.words import agree, counted
from gandiff.evaluate.numerics.paired import MIN_PAIRS
from gandiff.evaluate.numerics.statistics import student_t

_LARGE = 100_000  # degrees of freedom at which t and normal agree to five digits
MOST_PROMPTS = 10**9  # a larger number is of no use to anybody


def detectable_difference(
    deviation: float, prompts: int, power: float = 0.8, confidence: float = 0.95
) -> float:
    """The smallest difference, in the metric's unit, that so many prompts show with this power.

    ``deviation`` is the standard deviation of the prompts' differences; ``prompts`` is at least 6,
    as fewer show none (see ``MIN_PAIRS``); ``power`` is 0.5 to 1. The test statistic has the
    noncentral t distribution with n - 1 degrees of freedom, from 100,000 on taken as normal.
    """
    if deviation < 0 or not math.isfinite(deviation):
        raise ValueError(f"the deviation is {deviation}; give one that is finite and not negative")
    if prompts < MIN_PAIRS:
        raise ValueError(
            f"there {agree(prompts, 'are')} {counted(prompts, 'prompt')}; to show a "
            f"difference takes at least {MIN_PAIRS}"
        )
    if not 0.5 <= power < 1:
        raise ValueError(f"the power is {power}; give a number from 0.5 up to, but not, 1")
    freedom = prompts - 1
    if freedom >= _LARGE:
        errors = NormalDist().inv_cdf(0.5 + confidence / 2) + NormalDist().inv_cdf(power)
    else:
        from scipy.special import nctdtrinc

        errors = float(nctdtrinc(freedom, 1 - power, student_t(confidence, freedom)))
    return deviation / math.sqrt(prompts) * errors


def prompts_needed(
    difference: float, deviation: float, power: float = 0.8, confidence: float = 0.95
) -> int | None:
    """The smallest number of prompts (6 or more) that shows this difference with this power.

    The inverse of ``detectable_difference``. None where no number up to 10^9 is enough, as for a
    difference of 0.
    """
    wanted = abs(float(difference))

    def enough(prompts: int) -> bool:
        return detectable_difference(float(deviation), prompts, power, confidence) <= wanted

    if wanted == 0 or not enough(MOST_PROMPTS):
        return None
    low, high = MIN_PAIRS - 1, MOST_PROMPTS  # too few (or below the least), and enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
