"""What an image costs, as a report speaks of it; each is measured without being asked for."""

from __future__ import annotations

from gandiff.evaluate.result import About, Direction, Scale


def _cost(
    priority: int,
    label: str,
    meaning: str,
    scale: Scale,
    unit: str = "",
    *,
    direction: Direction = "lower",
    exact: bool = False,
) -> About:
    return About(
        label=label,
        meaning=meaning,
        group="Cost",
        unit=unit,
        scale=scale,
        axis="cost",
        priority=priority,
        direction=direction,
        is_exact=exact,
    )


COSTS = {
    "latency_seconds": _cost(
        0,
        "time per image",
        "Time to make one image alone (batch 1), after a warm-up: the median of a round; of "
        "several rounds, the geometric mean.",
        "seconds",
        "s",
    ),
    "images_per_second": _cost(
        1,
        "images per second",
        "Throughput at the fastest batch size tried.",
        "rate",
        "images/s",
        direction="higher",
    ),
    "load_seconds": _cost(
        2, "load time", "Time to read the weights and get ready.", "seconds", "s"
    ),
    "peak_memory_bytes": _cost(
        3, "peak memory", "Most memory held while making images.", "bytes", "bytes"
    ),
    "parameters": _cost(
        4,
        "parameters",
        "Numbers learnt in training, over all networks that run to make an image.",
        "count",
        exact=True,
    ),
    "nfe": _cost(
        5,
        "network evaluations",
        "Evaluations of the main network for one image, guidance included.",
        "whole",
        "evaluations/image",
        exact=True,
    ),
    "training_seconds": _cost(
        6,
        "training time",
        "Time that training took, on the device named under Training; a fact, and no merit.",
        "seconds",
        "s",
        direction="none",
    ),
}
