"""Training curves: one per model, however many generators use its weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from gandiff.common.measurements import in_panel
from gandiff.common.renamed import current_names
from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT, INK, explain_line, legend_above, log_if_wide
from gandiff.reports.run_data import GeneratorFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where a training is and what was set, not what was measured.
_NOT_MEASURED = frozenset(
    {"seconds", "kimg", "images", "step", "steps", "epoch", "lr", "stage", "gamma"}
)
_LINES = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))
_MOST = 2 * len(_LINES)  # lines in one panel that can be distinguished, in two colours

LOSSES: Final = "loss"
SHARES: Final = "share of pairs"
SLOPES: Final = "penalty, gradient norm"
OTHERS = "as reported"
# Each panel's y label, and label by name of what it shows in this order.
_PANELS: dict[str, dict[str, str]] = {
    LOSSES: in_panel(LOSSES),
    SHARES: in_panel(SHARES),
    SLOPES: in_panel(SLOPES),
    OTHERS: {},
}
_LABELS = {name: label for labels in _PANELS.values() for name, label in labels.items()}

Line = Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Curve:
    """How one model was trained: ``lines`` maps a quantity to (seconds, value) pairs."""

    generators: tuple[str, ...]
    record: Mapping[str, Any]
    facts: GeneratorFacts
    lines: Mapping[str, Line]

    @property
    def title(self) -> str:
        """The generators that use this model."""
        return ", ".join(self.generators)

    @property
    def panels(self) -> dict[str, dict[str, Line]]:
        """Lines that share a scale, by their y label; panels without a line are left out."""
        panels: dict[str, dict[str, Line]] = {}
        for label, names in _PANELS.items():
            first = [name for name in names if name in self.lines]
            keys = [*first, *(k for k in self.lines if k not in names and _panel(k) == label)]
            if keys:
                panels[label] = {key: self.lines[key] for key in keys[:_MOST]}
        return panels


def _panel(key: str) -> str:
    """Where a quantity belongs that has another name than those of our own trainings."""
    for label, names in _PANELS.items():
        if key in names:
            return label
    return LOSSES if "loss" in key else OTHERS


def training_curves(generators: Mapping[str, GeneratorFacts]) -> list[Curve]:
    """Return the models in order of appearance; same weights are one model."""
    groups: dict[str, list[GeneratorFacts]] = {}
    for name, facts in generators.items():
        groups.setdefault(facts.weights_sha256 or f"only {name}", []).append(facts)
    return [_curve(group) for group in groups.values()]


def _curve(group: Sequence[GeneratorFacts]) -> Curve:
    record = group[0].info.get("training")
    record = current_names(record) if isinstance(record, dict) else {}
    lines: dict[str, list[tuple[float, float]]] = {}
    for moment in record.get("curve") or ():
        seconds = moment.get("seconds") if isinstance(moment, dict) else None
        if not _finite(seconds):
            continue
        for key, value in moment.items():
            if key not in _NOT_MEASURED and _finite(value):
                lines.setdefault(key, []).append((float(seconds), float(value)))
    kept = {k: v for k, v in lines.items() if len(v) > 1}
    return Curve(tuple(f.name for f in group), record, group[0], kept)


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


def draw_curves(axes: Sequence[Axes], curve: Curve, look: Look) -> None:
    """Draw every quantity of a training run over time; ``axes`` has one for each panel."""
    last = max(t for line in curve.lines.values() for t, _ in line)
    unit, factor = ("h", 3600.0) if last > 2 * 3600 else ("min", 60.0) if last > 120 else ("s", 1.0)
    for one, (label, lines) in zip(axes, curve.panels.items(), strict=True):
        for i, (key, line) in enumerate(lines.items()):
            name, places = (
                _LABELS.get(key, key.replace("_", " ")),
                [(t / factor, v) for t, v in line],
            )
            explain_line(one, places, name, f"{{}} {unit}")
            one.plot(
                *zip(*places, strict=True),
                color=look.colour if i % 2 == 0 else INK,
                linestyle=_LINES[i // 2],
                linewidth=1.6 if i % 2 == 0 else 1.2,
                label=name,
            )
        _scale(one, label, [v for line in lines.values() for _, v in line])
        one.set_ylabel(label)
        one.grid(color=FAINT, alpha=0.2)
        legend_above(one)
    axes[-1].set_xlabel(f"training time ({unit})")


def _scale(axes: Axes, label: str, values: Sequence[float]) -> None:
    if label == SHARES:
        axes.axhline(0.5, color=FAINT, linewidth=1.0, linestyle=":", label="guessing")
        axes.set_ylim(min(0.45, *values), max(1.02, *values))
    else:
        log_if_wide(axes, values, 50.0)
