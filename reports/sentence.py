"""One sentence of the verdict, with what it decides."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from gandiff.evaluate.result import MetricResult, split_metric
from gandiff.reports.values import visible

Topic = Literal[
    "premise",
    "summary",
    "alignment",
    "preservation",
    "distribution",
    "diversity",
    "speed",
    "training",
    "cost",
    "coverage",
]
Outcome = Literal["better", "undecided", "tie", "not measured", "single", "note"]
UNEQUAL = "Unequal training"  # stands before a premise where no frame sets it apart
Index = Mapping[tuple[str, str], MetricResult]  # by generator and metric


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence that can be quoted alone; ``winner`` is set exactly when ``outcome`` is better."""

    topic: Topic
    text: str
    outcome: Outcome
    winner: str | None = None

    def __str__(self) -> str:
        return self.text


def in_terminal(sentence: Sentence) -> str:
    """A sentence as it stands among others where there is no bold type."""
    premise = f"{UNEQUAL.upper()}: " if sentence.topic == "premise" else ""
    return f"{premise}{visible(sentence.text)}"


def reason(note: str) -> str:
    """Why something was not measured, to stand in brackets."""
    return note.removeprefix("not measured: ").rstrip(".")


def distinct_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of metrics, by metric; where several have the same, their parameters follow it,
    and where those are the same, too, what the metrics are called in files.
    """
    counts = Counter(labels.values())
    longer = {
        metric: label if counts[label] == 1 else f"{label} {split_metric(metric)[1]}".rstrip()
        for metric, label in labels.items()
    }
    counts = Counter(longer.values())
    return {metric: label if counts[label] == 1 else metric for metric, label in longer.items()}


def listed(parts: Sequence[str]) -> str:
    """Join parts as prose: ``a, b and c``."""
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else "".join(parts)
