"""How a finished diffusion model does in other steps, by other solvers, and with other guidance."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gandiff.common.finished_training import measured_rows, pictures_in_words, real_row
from gandiff.common.measurements import MEASUREMENTS, shown_in
from gandiff.reports.palette import Look
from gandiff.reports.plotting import (
    FAINT,
    INK,
    LINES,
    explain_line,
    format_ticks,
    legend_above,
    log_if_wide,
)
from gandiff.reports.sentence import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS, _GUIDANCE = "num_inference_steps", "guidance_scale"
_AXES = {_STEPS: "steps (log scale)", _GUIDANCE: "guidance scale"}
_UNITS = {_STEPS: "{} steps", _GUIDANCE: "guidance {}"}

Rows = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class OperatingPoints:
    """What a model's training measured at its end, on validation captions.

    ``by_steps`` are rows of one guidance scale, ``by_guidance`` rows of some solvers, of each in
    the steps that most of its rows have. ``real`` is what as many real pictures get.
    """

    by_steps: Rows
    by_guidance: Rows
    real: Mapping[str, float]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> OperatingPoints:
        """From a training record; what does not vary is empty."""
        rows = [
            row
            for row in measured_rows(record, "operating_points")
            if 0 < row[_STEPS] < math.inf and math.isfinite(row[_GUIDANCE])
        ]
        rows.sort(key=lambda row: (_solver(row), row[_STEPS], row[_GUIDANCE]))
        scale = _commonest([row[_GUIDANCE] for row in rows])
        by_steps = [row for row in rows if row[_GUIDANCE] == scale]
        by_guidance = []
        for _, line in groupby(rows, _solver):
            own = list(line)
            steps = _commonest([row[_STEPS] for row in own])
            same = [row for row in own if row[_STEPS] == steps]
            by_guidance += same if len(same) > 1 else []
        return cls(
            by_steps if len({row[_STEPS] for row in by_steps}) > 1 else (),
            by_guidance,
            real_row(record),
        )

    @property
    def panels(self) -> list[tuple[str, str]]:
        """What is drawn over what: pairs of a measurement and the setting along the x axis."""
        return [
            (name, along)
            for along, rows in ((_STEPS, self.by_steps), (_GUIDANCE, self.by_guidance))
            for name in shown_in("curve")
            if len({row[along] for row in rows if _known(row, name)}) > 1
        ]

    @property
    def caption(self) -> str:
        """What the panels hold fixed."""
        parts = []
        if self.by_steps:
            parts.append(f"Steps at guidance {self.by_steps[0][_GUIDANCE]:g}")
        if self.by_guidance:
            lines = dict.fromkeys((_solver(row), row[_STEPS]) for row in self.by_guidance)
            each = [f"{n:g} steps{f' of {name}' if name else ''}" for name, n in lines]
            parts.append(f"guidance in {listed(each)}")
        text, of = "; ".join(parts), pictures_in_words([*self.by_steps, *self.by_guidance])
        on = "" if of is None else f", {of} each"
        dotted = any(name in self.real for name, _ in self.panels)
        real = " The dotted line is what real pictures get against others." if dotted else ""
        return (
            f"{text[:1].upper()}{text[1:]}. On validation captions, at the end of its training"
            f"{on}.{real}"
        )


def _solver(row: Mapping[str, Any]) -> str:
    return str(row.get("solver", ""))


def _known(row: Mapping[str, Any], name: str) -> bool:
    return math.isfinite(row.get(name, math.nan))


def _commonest(values: Sequence[Any]) -> Any:
    return Counter(values).most_common(1)[0][0] if values else None


def draw_operating_points(axes: Sequence[Axes], points: OperatingPoints, look: Look) -> None:
    """Draw each panel; ``axes`` has one for each."""
    solvers = sorted({_solver(row) for row in (*points.by_steps, *points.by_guidance)})
    for one, (name, along) in zip(axes, points.panels, strict=True):
        rows = points.by_steps if along == _STEPS else points.by_guidance
        shown = [row for row in rows if _known(row, name)]
        for solver, line in groupby(shown, _solver):
            i = solvers.index(solver)  # a solver looks the same in all panels
            places = [(float(row[along]), float(row[name])) for row in line]
            explain_line(one, places, f"{solver} {MEASUREMENTS[name].label}".strip(), _UNITS[along])
            one.plot(
                *zip(*places, strict=True),
                color=look.colour if i % 2 == 0 else INK,
                linestyle=LINES[i % len(LINES)],
                marker="o",
                markersize=3,
                linewidth=1.4,
                label=solver,
            )
        if _known(points.real, name):
            one.axhline(points.real[name], color=INK, linewidth=1.0, linestyle=":")
        one.grid(color=FAINT, alpha=0.2)
        one.set_xlabel(_AXES[along])
        one.set_ylabel(MEASUREMENTS[name].label)
        if along == _STEPS:
            one.set_xscale("log")
            format_ticks(one.xaxis)
        if one is axes[0] and any(map(_solver, shown)):
            legend_above(one)  # of the next panel, too
        log_if_wide(one, [row[name] for row in shown], 10.0)
