"""Scores by prompt category: one row a category, one mark a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gandiff.common.words import counted
from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT
from gandiff.reports.run_data import CategoryScore
from gandiff.reports.values import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_categories(
    figure: Figure, axes: Axes, scores: Sequence[CategoryScore], looks: Mapping[str, Look]
) -> None:
    """Draw means and intervals, the generators of a category beneath each other."""
    categories = list(dict.fromkeys(score.category for score in scores))
    names = list(looks)
    step = 0.74 / max(1, len(names))
    prompts: dict[str, int] = {}
    for name, look in looks.items():
        mine = [s for s in scores if s.generator == name]
        rows = [
            categories.index(s.category) + (names.index(name) - (len(names) - 1) / 2) * step
            for s in mine
        ]
        arms = [
            [s.value - s.low if s.low is not None else 0.0 for s in mine],
            [s.high - s.value if s.high is not None else 0.0 for s in mine],
        ]
        axes.errorbar(
            [s.value for s in mine],
            rows,
            xerr=arms,
            fmt=look.marker,
            color=look.colour,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.7,
            elinewidth=1.3,
            capsize=0,
            clip_on=False,
            label=name,
            zorder=3,
        )
        for s in mine:
            prompts[s.category] = max(prompts.get(s.category, 0), s.prompts)
    shown = [
        f"{visible(c) or 'no category'}\n({counted(prompts[c], 'prompt')})" for c in categories
    ]
    axes.set_yticks(range(len(categories)), shown)
    axes.set_ylim(len(categories) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    for edge in range(1, len(categories)):
        axes.axhline(edge - 0.5, color=FAINT, linewidth=0.5, alpha=0.5)
    figure.legend(loc="outside lower center", ncols=3)
