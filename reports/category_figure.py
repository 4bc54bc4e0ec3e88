"""Scores by prompt category: one row a category, one mark a generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gandiff.common.words import counted
from gandiff.reports.labels import broken
from gandiff.reports.palette import Look
from gandiff.reports.plotting import FAINT, explain_mark
from gandiff.reports.run_data import CategoryScore
from gandiff.reports.values import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS = 90  # that the width of a figure holds in a legend's size


def draw_categories(
    figure: Figure,
    axes: Axes,
    scores: Sequence[CategoryScore],
    looks: Mapping[str, Look],
    said: Callable[[CategoryScore], str],
) -> None:
    """Draw means and intervals, the generators of a category beneath each other; ``said`` writes a
    score in words.
    """
    categories = list(dict.fromkeys(score.category for score in scores))
    names = list(looks)
    step = 0.74 / max(1, len(names))
    prompts: dict[str, int] = {}
    for place, (name, look) in enumerate(looks.items()):
        mine = [s for s in scores if s.generator == name]
        shift = (place - (len(names) - 1) / 2) * step
        rows = [categories.index(s.category) + shift for s in mine]
        _draw_row(axes, mine, rows, broken([name])[0], look)
        for s, row in zip(mine, rows, strict=True):
            explain_mark(axes, s.value, row, f"{name}, {s.category or 'no category'}: {said(s)}")
            prompts[s.category] = max(prompts.get(s.category, 0), s.prompts)
    shown = [
        f"{visible(c) or 'no category'}\n({counted(prompts[c], 'prompt')})" for c in categories
    ]
    axes.set_yticks(range(len(categories)), shown)
    axes.set_ylim(len(categories) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    for edge in range(1, len(categories)):
        axes.axhline(edge - 0.5, color=FAINT, linewidth=0.5, alpha=0.5)
    figure.legend(loc="outside lower center", ncols=legend_columns(names))


def legend_columns(names: Sequence[str]) -> int:
    """How many of these names go side by side, markers included."""
    return max(1, min(3, _LETTERS // max(len(name) + 6 for name in names)))


def legend_lines(names: Sequence[str]) -> int:
    """How many lines the legend of these names has."""
    if legend_columns(names) == 1:
        return sum(1 + name.count("\n") for name in broken(names))
    return -(-len(names) // legend_columns(names))


def _draw_row(
    axes: Axes, scores: Sequence[CategoryScore], rows: Sequence[float], name: str, look: Look
) -> None:
    arms = [
        [s.value - s.low if s.low is not None else 0.0 for s in scores],
        [s.high - s.value if s.high is not None else 0.0 for s in scores],
    ]
    axes.errorbar(
        [s.value for s in scores],
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
