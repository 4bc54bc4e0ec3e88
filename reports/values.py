"""Numbers as a person reads them: unit, decimals that fit the interval, and inert text."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from gandiff.evaluate.result import SURE, MetricResult

_SHARES = ("", "fraction", "share", "ratio", "1")
_UNWRITTEN = ("", "ratio", "1", "x", "cosine")  # units of pure numbers
ARROWS = {"higher": "\u2191", "lower": "\u2193"}
_TIMES = [(3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "\u00b5s")]
_BYTES = [(2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")]
_COUNTS = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]
_FACTORS = {"thousands": 1e3, "thousandths": 1e-3}  # which the label of the metric says
_ROUNDING = 1e-9  # of a value: a narrower interval is that of floating point
_LEAST = 1e-4  # smaller p values are all written alike
MISSING, UNKNOWN = NO_VALUE = ("not measured", "not known")
_DECLARED = ("parameters", "training_seconds")  # what a model says of itself
_CLOCKED = ("latency_seconds", "images_per_second", "load_seconds")


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a group of numbers is written: divided by ``factor``, with ``decimals`` or, where that is
    given, with so many significant ``digits`` each, then unit.
    """

    factor: float
    decimals: int
    unit: str
    digits: int | None = None

    def rounded(self, value: float) -> float:
        """What a reader takes a written number for."""
        return float(self.number(value).replace(",", "")) * self.factor

    def number(self, value: float) -> str:
        """Write one number without its unit."""
        number, decimals = value / self.factor, self.decimals
        if self.digits is not None and number and math.isfinite(number):
            decimals = self.digits - 1 - math.floor(math.log10(abs(number)) + 1e-9)
        text = f"{round(number, decimals):,.{max(0, decimals)}f}"
        return text[1:] if text.startswith("-") and not text.strip("-0.,") else text

    def __call__(self, value: float) -> str:
        """Write one number with its unit."""
        return f"{self.number(value)} {self.unit}".rstrip()


def _kind(about_scale: str, unit: str) -> str:
    """How numbers are written: as the metric says, else as the unit lets one think."""
    if unit == "%":
        return "percent"
    if about_scale != "plain":
        return about_scale if about_scale != "percent" or unit in _SHARES else "plain"
    return {"s": "seconds", "seconds": "seconds", "B": "bytes", "bytes": "bytes"}.get(unit, "plain")


def _pick(steps: list[tuple[float, str]], magnitude: float) -> tuple[float, str]:
    for size, name in steps:
        if magnitude >= size:
            return size, name
    return steps[-1]


def _decimals(magnitude: float) -> int:
    """Three significant digits, at most six decimals."""
    if magnitude == 0 or not math.isfinite(magnitude):
        return 2
    return min(6, max(0, 2 - math.floor(math.log10(magnitude) + 1e-9)))


def scale_for(kind: str, unit: str, magnitude: float, *, difference: bool = False) -> Scale:
    """Choose how numbers up to ``magnitude`` of a metric's scale and unit are written.

    A difference of percentages is written in points.
    """
    kind, magnitude = _kind(kind, unit), abs(magnitude)
    if kind == "percent":
        return Scale(1.0 if unit == "%" else 0.01, 1, "points" if difference else "%")
    if kind == "whole":
        return Scale(1.0, 0 if magnitude == round(magnitude) else 1, "")
    steps = {"seconds": _TIMES, "bytes": _BYTES, "count": _COUNTS}.get(kind)
    if steps is None:
        factor = _FACTORS.get(kind, 1.0)
        own = "/s" if kind == "rate" else "" if unit in _UNWRITTEN else unit
        return Scale(factor, _decimals(magnitude / factor), own)
    factor, name = _pick(steps, magnitude)
    whole = name in ("B", "") or (name in ("min", "h") and magnitude / factor >= 10)
    return Scale(factor, 0 if whole else _decimals(magnitude / factor), name)


def scale_of(*results: MetricResult) -> Scale:
    """Choose one way to write the values and intervals of some results of one metric: with three
    significant digits, or as many as show the narrowest interval as two units wide or wider.
    """
    unit = next((r.unit for r in results if r.unit), "")
    largest = _largest(results)
    scale = _clocked(results[0], scale_for(results[0].described.scale, unit, largest))
    widths = [r.high - r.low for r in results if r.low is not None and r.high is not None]
    narrow = min((width for width in widths if width > _ROUNDING * largest), default=math.inf)
    if scale.digits is not None or not math.isfinite(narrow):
        return scale
    fine = math.ceil(-math.log10(narrow / 2 / scale.factor) - 1e-9)
    return dataclasses.replace(scale, decimals=max(scale.decimals, fine))


def scale_of_differences(result: MetricResult, *numbers: float) -> Scale:
    """Choose one way to write some differences of results of one metric."""
    largest = max(abs(number) for number in numbers)
    scale = scale_for(result.described.scale, result.unit, largest, difference=True)
    return _clocked(result, scale)


def _clocked(result: MetricResult, scale: Scale) -> Scale:
    """Two significant digits for what a clock measured: the next run differs in the third."""
    return dataclasses.replace(scale, digits=2) if result.metric in _CLOCKED else scale


def _largest(results: Sequence[MetricResult]) -> float:
    numbers = [n for r in results for n in (r.value, r.low, r.high) if n is not None]
    return max((abs(n) for n in numbers), default=0.0)


def distinguish(scale: Scale, *pairs: tuple[float, float]) -> Scale:
    """The scale with as many digits more, up to 9, as it takes to write different numbers of a
    pair differently.
    """
    for more in range(10):
        digits = None if scale.digits is None else scale.digits + more
        finer = dataclasses.replace(scale, decimals=scale.decimals + more, digits=digits)
        if all(x == y or finer.number(x) != finer.number(y) for x, y in pairs):
            break
    return finer


def adding_up(
    scale: Scale, apart: Scale, numbers: tuple[float, float], difference: float
) -> tuple[Scale, Scale] | None:
    """The scales of two numbers and of their difference with as many decimals more as it takes for
    a reader who subtracts to get the difference, up to the coarser rounding of the two; None if 9
    more are not enough.
    """
    fewest = min(scale.decimals, apart.decimals)
    for decimals in range(fewest, fewest + 10):
        values, beside = (
            dataclasses.replace(one, decimals=max(one.decimals, decimals)) for one in (scale, apart)
        )
        first, second = map(values.rounded, numbers)
        coarse = max(one.factor * 10.0**-one.decimals for one in (values, beside))
        if abs(first - second - beside.rounded(difference)) < 0.501 * coarse:
            return values, beside
    return None


def missing(metric: str) -> str:
    """What stands where a metric has no value."""
    return UNKNOWN if metric in _DECLARED else MISSING


def show_value(result: MetricResult) -> str:
    """Write the value with its unit, or that there is none."""
    return missing(result.metric) if result.value is None else scale_of(result)(result.value)


def show_beside(value: float, result: MetricResult) -> str:
    """Write what an anchor gets, in the unit of a result that it stands beside."""
    return show_value(dataclasses.replace(result, value=value, low=None, high=None))


def show_interval(result: MetricResult) -> str:
    """Write the ends of the interval as ``12.1 to 14.0``; empty where there is none."""
    if result.value is None or result.low is None or result.high is None:
        return ""
    scale = scale_of(result)
    return f"{scale.number(result.low)} to {scale.number(result.high)}"


def arrow(result: MetricResult) -> str:
    """Return the sign of a metric's better direction: up, down, or the target."""
    if result.direction == "target":
        return f"\u2192\u00a0{result.target:g}" if result.target is not None else ""
    return ARROWS.get(result.direction, "")


def explain(result: MetricResult) -> str:
    """Return one or two sentences: what the metric says, and which way is better."""
    better = f"{result.direction.capitalize()} is better." if arrow(result) else ""
    if result.direction == "target" and result.target is not None:
        better = f"Nearest to {result.target:g} is best."
    return f"{result.described.meaning} {better}".strip()


def show_number(value: float) -> str:
    """Write a number that has no unit: three significant digits, or all before the point."""
    return scale_for("plain", "", value)(value)


def show_duration(seconds: int | float) -> str:
    """Write a time in the unit that suits it: ``8.20 ms``, ``26 min``."""
    return scale_for("seconds", "", float(seconds))(float(seconds))


def show_bytes(count: int | float) -> str:
    """Write a number of bytes: ``3.90 GiB``."""
    return scale_for("bytes", "", float(count))(float(count))


def show_count(count: int | float) -> str:
    """Write a large count: ``1.31 M``."""
    return scale_for("count", "", float(count))(float(count))


def show_ratio(ratio: float) -> str:
    """Write how many times: three significant digits, at most two decimals."""
    return f"{ratio:,.{min(2, _decimals(ratio))}f}"


def show_p(p: float) -> str:
    """Write a p value with three significant digits, or as many as it takes to differ from 0.05."""
    if p < _LEAST:
        return f"below {_LEAST:g}"
    return distinguish(scale_for("plain", "", p), (p, SURE))(p)


def is_significant(p: float) -> bool:
    """Whether a p value is below 0.05."""
    return p < SURE


def visible(text: str) -> str:
    """Make control, direction-changing and broken characters visible and harmless.

    Tabs and line breaks become spaces, C0 controls their pictures (U+2400...), the rest an escape.

    >>> visible("a\\x1bb")
    'a\u241bb'
    """
    return _HARMFUL.sub(_shown, text)


# Control characters, halves of surrogate pairs, line separators and everything that changes the
# direction of writing. U+200D and U+FE0F build emoji and Indic letters, and do no harm.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\ufeff\u2028-\u202e\u2066-\u2069]"
)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\t\n\r":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}"
