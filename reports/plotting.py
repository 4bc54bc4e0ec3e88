"""The manner of all figures: type, grid, points with intervals, labels that keep apart."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from html import escape, unescape
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from gandiff.reports.palette import Look
from gandiff.reports.values import scale_for, show_number, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#1c2024"  # replaced by the page's text colour where a figure is inlined
FAINT = "#8b939c"
LINES = ("-", "--", ":", "-.", (0, (6, 2, 1, 2)), (0, (1, 3)))
_IN_WORDS = {"": "", "k": "in thousands", "M": "in millions", "/s": "per second"}
_SAID = "said:"
_FEW = 12  # values that can be listened to
_LEAST_SPAN = 2.0  # of a logarithmic axis, last end over first
WIDTH, HEIGHT = 5.2, 3.7  # inches; narrow, so that it can be read on a phone
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "svg.fonttype": "path",
    "svg.hashsalt": "gandiff",  # the same bytes every time
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One finished figure: file name without ending, heading, caption, and the drawing itself.

    ``values`` are the sentences that a mouse finds at its marks, in order.
    """

    name: str
    title: str
    caption: str
    png: bytes
    svg: str
    pdf: bytes = b""
    values: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        """What it shows, for readers who cannot see it: its values, as long as they are few."""
        few = 0 < len(self.values) <= _FEW
        return f"{self.title}. {'; '.join(self.values) if few else self.caption}"


@dataclasses.dataclass(frozen=True)
class Point:
    """A generator in a plane of two metrics, and its numbers in words; half-open intervals are not
    drawn.
    """

    name: str
    x: float
    y: float
    look: Look
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    said: str = ""


def draw_points(axes: Axes, points: Sequence[Point]) -> None:
    """Draw each point with its intervals; a mouse that rests on it reads its numbers."""
    for p in points:
        explain_mark(axes, p.x, p.y, p.said)
        axes.errorbar(
            p.x,
            p.y,
            xerr=_arms(p.x, p.x_interval),
            yerr=_arms(p.y, p.y_interval),
            fmt=p.look.marker,
            color=p.look.colour,
            markersize=7,
            markeredgecolor="white",
            markeredgewidth=0.8,
            elinewidth=1.3,
            capsize=2.5,
            clip_on=False,
            zorder=3,
        )


def _arms(middle: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    if interval is None:
        return None
    return [[max(0.0, middle - interval[0])], [max(0.0, interval[1] - middle)]]


def explain_mark(axes: Axes, x: float, y: float, said: str) -> None:
    """Let a mouse that rests on a mark read a sentence, where the figure is an SVG."""
    # The sentence travels as the id of an invisible mark; ``svg_text`` makes a title of it.
    said = _SAID + quote(said)
    axes.scatter([x], [y], s=144, color=FAINT, alpha=0.0, clip_on=False, zorder=5, gid=said)


def explain_line(axes: Axes, places: Sequence[tuple[float, float]], label: str, along: str) -> None:
    """Let a mouse read some points of a line; ``along`` has braces for x, as in ``{} min``."""
    every = -(-len(places) // _FEW)
    for x, y in places[::every]:
        value = show_number(y)
        explain_mark(axes, x, y, f"{label} {value} at {along.format(f'{round(x, 2):g}')}")


def spread_log(axes: Axes) -> None:
    """Give a logarithmic x axis room where all points are at one place; margins make none there."""
    low, high = axes.get_xlim()
    if high < low * _LEAST_SPAN:
        middle = math.sqrt(low * high)
        axes.set_xlim(middle / _LEAST_SPAN, middle * _LEAST_SPAN)


def finish(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    """Lay out a figure, save it in its formats, and close it."""
    from matplotlib import pyplot as plt

    settle(figure)
    svg = svg_text(figure)
    values = tuple(unescape(text) for text in re.findall("<title>(.*?)</title>", svg))
    pdf = pdf_bytes(figure) if _PDF.get() else b""
    drawing = Drawing(name, title, caption, png_bytes(figure), svg, pdf, values)
    plt.close(figure)
    return drawing


def canvas(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure of one panel; ``height`` in inches."""
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(WIDTH, height), layout="constrained")


def stacked(heights: Sequence[float], *, share_x: bool = True) -> tuple[Figure, list[Axes]]:
    """Panels above each other, with one x axis for all, or one each; ``heights`` in inches."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(WIDTH, 0.9 + sum(heights)),
        layout="constrained",
        sharex=share_x,
        squeeze=False,
        height_ratios=list(heights),
    )
    return figure, list(axes[:, 0])


def settle(figure: Figure) -> None:
    """Lay the figure out once and for all: not again for every format that it is saved in."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG at 160 dots an inch, without a date, on white."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return out.getvalue()


_PDF: ContextVar[bool] = ContextVar("pdf", default=False)


@contextlib.contextmanager
def as_pdf(wanted: bool) -> Iterator[None]:
    """Whether figures that are finished in here are saved as PDF, too."""
    token = _PDF.set(wanted)
    try:
        yield
    finally:
        _PDF.reset(token)


def pdf_bytes(figure: Figure) -> bytes:
    """Return a figure as PDF with the same bytes each time."""
    out = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    figure.savefig(out, format="pdf", metadata=nothing)
    return out.getvalue()


def svg_text(figure: Figure) -> str:
    """Return a figure as an SVG document that has the same bytes each time, with titles for what
    ``explain_mark`` was given.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return re.sub(
        f'<g id="{_SAID}([^"]*)">',
        lambda found: f"<g><title>{escape(visible(unquote(found[1])))}</title>",
        out.getvalue(),
    )


def inline_svg(svg: str, prefix: str) -> str:
    """Return an SVG document as an element for a page: no prolog, own ids, the page's text colour.

    The caller gives the element its name, so the drawing itself is hidden from screen readers.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\b(id|xlink:href|href)="(#?)([^"]+)"', rf'\1="\2{prefix}-\3"', element)
    element = element.replace("url(#", f"url(#{prefix}-").replace(INK, "currentColor")
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1, flags=re.DOTALL)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1, flags=re.DOTALL)
    return element.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()


def keep_to_shares(axis: Axis, kind: str, unit: str) -> None:
    """Let an axis of shares end at 0 and 100 %, beyond which there are none."""
    scale = scale_for(kind, unit, 1.0)
    if scale.unit != "%":
        return
    (low, high), (least, most) = axis.get_view_interval(), axis.get_data_interval()
    whole = 100 * scale.factor
    low = max(0.0, low) if least >= 0 else low
    axis.set_view_interval(low, min(whole, high) if most <= whole else high, ignore=True)


def format_ticks(axis: Axis, kind: str = "whole", unit: str = "") -> str:
    """Write the ticks of an axis as numbers by a metric's scale and unit, on a log axis at 1, 2
    and 5; returns the unit that all of them have, in words for the axis to be named with.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    logarithmic = axis.get_scale() == "log"
    scale = scale_for(kind, unit, (low * high) ** 0.5 if logarithmic else max(abs(low), abs(high)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{round(v / scale.factor, 9):,.12g}"))
    if logarithmic:
        subs = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_locator(NullLocator())
    return _IN_WORDS.get(scale.unit, f"in {scale.unit}")


def log_if_wide(axes: Axes, values: Sequence[float], ratio: float) -> None:
    """Make the y axis logarithmic where positive values span more than ``ratio``."""
    if min(values) > 0 and max(values) / min(values) > ratio:
        axes.set_yscale("log")
        # matplotlib's own labels are mathematics, which the style leaves unread.
        format_ticks(axes.yaxis)


def legend_above(axes: Axes) -> None:
    """Name the lines of one panel above it, in columns that fit its width."""
    longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
    columns = 3 if longest <= 12 else 2
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2)
