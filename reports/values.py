"""Numbers as a person reads them: unit, decimals that fit the interval, and inert text."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from gandiff.evaluate.result import MetricResult

_SHARES = ("", "fraction", "share", "ratio", "1")
ARROWS = {"higher": "\u2191", "lower": "\u2193"}
_TIMES = [(3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "\u00b5s")]
_BYTES = [(2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")]
_COUNTS = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]
_MANY = 1e4  # numbers without a unit are written in thousands from here on
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
        own = "/s" if kind == "rate" else "" if unit in ("", "ratio", "1") else unit
        if own or magnitude < _MANY or not math.isfinite(magnitude):
            return Scale(1.0, _decimals(magnitude), own)
        steps = _COUNTS
    factor, name = _pick(steps, magnitude)
    whole = name in ("B", "") or (name in ("min", "h") and magnitude / factor >= 10)
    return Scale(factor, 0 if whole else _decimals(magnitude / factor), name)


def scale_of(*results: MetricResult) -> Scale:
    """Choose one way to write the values and intervals of some results of one metric."""
    unit = next((r.unit for r in results if r.unit), "")
    return _clocked(results[0], scale_for(results[0].described.scale, unit, _largest(results)))


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


def _scale_beside(result: MetricResult, others: Sequence[MetricResult]) -> Scale:
    """The result's own digits, in the thousands of the largest of ``others`` if they have no unit
    that would change of itself.
    """
    own, largest = scale_of(result), scale_of(result, *others)
    if _kind(result.described.scale, result.unit) != "plain" or own.factor == largest.factor:
        return own
    decimals = _decimals(_largest([result]) / largest.factor)
    return dataclasses.replace(largest, decimals=decimals)


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


def missing(metric: str) -> str:
    """What stands where a metric has no value."""
    return UNKNOWN if metric in _DECLARED else MISSING


def show_value(result: MetricResult, others: Sequence[MetricResult] = ()) -> str:
    """Write the value with its unit, or that there is none; ``others`` stand beside it: thousands
    are written as such for all or for none.
    """
    if result.value is None:
        return missing(result.metric)
    return _scale_beside(result, others)(result.value)


def show_interval(result: MetricResult, others: Sequence[MetricResult] = ()) -> str:
    """Write the ends of the interval as ``12.1 to 14.0``; empty where there is none."""
    if result.value is None or result.low is None or result.high is None:
        return ""
    scale = _scale_beside(result, others)
    thousands = scale.unit and any(scale.unit == name for _, name in _COUNTS)
    low = scale(result.low) if thousands else scale.number(result.low)  # or 3.1 to 9.2 k misleads
    return f"{low} to {scale(result.high) if thousands else scale.number(result.high)}"


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
