"""How a model's training went, beside its losses: what its ticks measured, and its alarms."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gandiff.common.finished_training import (
    Settings,
    ceiling,
    neighbours,
    number_rows,
    settings_table,
)
from gandiff.common.measurements import in_panel
from gandiff.reports.curves import training_curves
from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT, INK, LINES, explain_line, legend_above, log_if_wide
from gandiff.reports.run_data import RunData
from gandiff.reports.values import show_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARES = in_panel("share or ratio")  # values between 0 and about 1, in one panel
_ERRORS = in_panel("squared error")  # of a denoiser, by how much noise there is
_APART = in_panel("its own")  # each has a scale and a panel of its own
_UPRIGHT = 18  # letters of a label that stand beside such a panel


@dataclasses.dataclass(frozen=True)
class Health:
    """One model's training: measurements by kimg, alarms as they came, what followed at the end."""

    title: str
    generator: str
    ticks: Sequence[Mapping[str, float]]
    events: Sequence[tuple[float, str]]
    sweep: Settings | None
    neighbours: str | None
    ceiling: str | None

    @property
    def heading(self) -> str:
        """What there is to read of it."""
        parts = ["alarms", *([self.sweep.about] if self.sweep else [])]
        parts += [name for name in ("neighbours", "ceiling") if getattr(self, name)]
        return f"{self.title}: {', '.join(parts)}"

    def line(self, name: str) -> list[tuple[float, float]]:
        """(kimg, value) of one measurement."""
        return [(t["kimg"], t[name]) for t in self.ticks if name in t and math.isfinite(t[name])]

    @property
    def panels(self) -> list[dict[str, str]]:
        """What to draw, as names and labels: what shares a scale is together."""
        groups = [_SHARES, _ERRORS, *({name: label} for name, label in _APART.items())]
        drawn = [{n: t for n, t in group.items() if len(self.line(n)) > 1} for group in groups]
        return [group for group in drawn if group]


def training_health(run: RunData) -> list[Health]:
    """The models whose training kept such a record."""
    models = []
    for curve in training_curves(run.generators):
        record = curve.record
        ticks = [tick for tick in number_rows(record.get("ticks")) if "kimg" in tick]
        events = [
            (float(event.get("kimg") or 0.0), str(event.get("text")))
            for event in record.get("events") or ()
            if isinstance(event, dict)
        ]
        health = Health(
            title=curve.title,
            generator=curve.generators[0],
            ticks=ticks,
            events=events,
            sweep=settings_table(record, show_number),
            neighbours=neighbours(record),
            ceiling=ceiling(record),
        )
        if ticks or events or health.sweep:
            models.append(health)
    return models


def draw_health(axes: Sequence[Axes], health: Health, look: Look) -> None:
    """Draw each panel over images shown; ``axes`` has one for each, dotted lines are alarms."""
    for one, names in zip(axes, health.panels, strict=True):
        for i, (name, label) in enumerate(names.items()):
            explain_line(one, health.line(name), label, "{} thousand images")
            one.plot(
                *zip(*health.line(name), strict=True),
                color=look.colour if i % 2 == 0 else INK,
                linestyle=LINES[i],
                linewidth=1.4,
                label=label,
            )
        one.grid(color=FAINT, alpha=0.2)
        for kimg, _ in health.events:
            one.axvline(kimg, color=FAINT, linewidth=0.8, linestyle=":")
        if names.keys() <= _APART.keys():
            ((name, label),) = names.items()
            one.set_ylabel("\n".join(textwrap.wrap(label, _UPRIGHT)))
            log_if_wide(one, [value for _, value in health.line(name)], 10.0)
        else:
            one.set_ylabel("squared error" if names.keys() <= _ERRORS.keys() else "share or ratio")
            legend_above(one)
    axes[-1].set_xlabel("thousand images shown")
