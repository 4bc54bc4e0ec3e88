"""Training curves: one per model, however many generators use its weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT, INK
from gandiff.reports.run_data import GeneratorFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOT_LOSSES = frozenset({"seconds", "kimg", "images", "step", "steps", "epoch", "lr", "stage"})
_MOST = 6  # lines in one picture
_LINES = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))


@dataclasses.dataclass(frozen=True)
class Curve:
    """How one model was trained: ``lines`` maps a quantity to (seconds, value) pairs."""

    generators: tuple[str, ...]
    record: Mapping[str, Any]
    facts: GeneratorFacts
    lines: Mapping[str, Sequence[tuple[float, float]]]

    @property
    def title(self) -> str:
        """The generators that use this model."""
        return ", ".join(self.generators)


def training_curves(generators: Mapping[str, GeneratorFacts]) -> list[Curve]:
    """Return the models in order of appearance; same weights are one model."""
    groups: dict[str, list[GeneratorFacts]] = {}
    for name, facts in generators.items():
        groups.setdefault(facts.weights_sha256 or f"only {name}", []).append(facts)
    return [_curve(group) for group in groups.values()]


def _curve(group: Sequence[GeneratorFacts]) -> Curve:
    record = group[0].info.get("training")
    record = record if isinstance(record, dict) else {}
    lines: dict[str, list[tuple[float, float]]] = {}
    for moment in record.get("curve") or ():
        seconds = moment.get("seconds") if isinstance(moment, dict) else None
        if not _finite(seconds):
            continue
        for key, value in moment.items():
            if key not in _NOT_LOSSES and _finite(value):
                lines.setdefault(key, []).append((float(seconds), float(value)))
    kept = {k: v for k, v in lines.items() if len(v) > 1}
    return Curve(tuple(f.name for f in group), record, group[0], dict(list(kept.items())[:_MOST]))


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


def draw_curves(axes: Axes, curve: Curve, look: Look) -> None:
    """Draw every quantity of a training run over time."""
    last = max(t for line in curve.lines.values() for t, _ in line)
    unit, factor = ("h", 3600.0) if last > 2 * 3600 else ("min", 60.0) if last > 120 else ("s", 1.0)
    for i, (key, line) in enumerate(curve.lines.items()):
        axes.plot(
            [t / factor for t, _ in line],
            [v for _, v in line],
            color=look.colour if i % 2 == 0 else INK,
            linestyle=_LINES[i],
            linewidth=1.6 if i % 2 == 0 else 1.2,
            label=key.replace("_", " "),
        )
    values = [v for line in curve.lines.values() for _, v in line]
    if min(values) > 0 and max(values) / min(values) > 50:
        axes.set_yscale("log")
    axes.set_xlabel(f"training time ({unit})")
    axes.set_ylabel("loss")
    axes.grid(color=FAINT, alpha=0.2)
