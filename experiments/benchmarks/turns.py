"""Timing by turns, so that a slow moment of the machine hits all sides."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from tqdm import tqdm


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_turns(
    sides: Sequence[Callable[[], float]], turns: int, label: str
) -> Float[np.ndarray, "sides turns"]:
    """The seconds that each side returns, A B, B A, ..., after a turn that only warms up."""
    seconds = np.empty((len(sides), turns + 1))
    order = list(range(len(sides)))
    for turn in tqdm(range(turns + 1), desc=label, leave=False, disable=None):
        for side in order:
            seconds[side, turn] = sides[side]()
        order.reverse()
    return seconds[:, 1:]
