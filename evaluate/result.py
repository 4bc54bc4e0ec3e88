"""What a metric is called and what a measured number looks like; imports nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from gandiff.common.errors import MetricError

Direction = Literal["higher", "lower", "target", "none"]
Axis = Literal["alignment", "preservation", "distribution", "diversity", "cost"]
Scale = Literal[
    "plain", "percent", "seconds", "bytes", "count", "rate", "whole", "thousands", "thousandths"
]
Value = str | int | float | bool

DIRECTIONS, AXES, SCALES = get_args(Direction), get_args(Axis), get_args(Scale)

_CALL = re.compile(r"^\s*(?P<name>[A-Za-z]\w*(?::\w+)?)\s*(?:\((?P<body>.*)\))?\s*$", re.DOTALL)
_ROW = re.compile(r"^(?P<base>[^(/]+)(?P<params>\(.*\))?(?:/(?P<part>.*))?$", re.DOTALL)
OWN_METRIC = (
    "a metric of your own is named by its entry point in an installed package (group "
    "gandiff.metrics), not as module:factory"
)
_SHORT = {
    "fid": ("fd", {"encoder": "inception"}),
    "fid_inf": ("fd_inf", {"encoder": "inception"}),
}


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """A metric as a value: name and parameters, printing and parsing back to itself.

    >>> str(MetricSpec.parse("coverage(nearest_k=5, encoder=scenes)"))
    'coverage(encoder=scenes,nearest_k=5)'
    """

    name: str
    params: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, **params: Value) -> MetricSpec:
        """Build a spec from keyword parameters."""
        return cls(name, tuple(sorted(params.items())))

    @classmethod
    def parse(cls, text: str) -> MetricSpec:
        """Read ``name`` or ``name(key=value,...)``; values are numbers, booleans or bare words."""
        match = _CALL.match(text)
        if match is None:
            hint = f" ({OWN_METRIC})" if ":" in text.partition("(")[0] else ""
            raise MetricError(
                f"cannot read the metric {text!r}; write name or name(key=value,...){hint}"
            )
        params: dict[str, Value] = {}
        for part in filter(None, (p.strip() for p in (match["body"] or "").split(","))):
            key, equals, value = (p.strip() for p in part.partition("="))
            if not equals or not key.isidentifier() or not value:
                raise MetricError(f"cannot read {part!r} in the metric {text!r}; write key=value")
            if key in params:
                raise MetricError(f"{key!r} is given twice in the metric {text!r}")
            params[key] = _value(value)
        name = match["name"]
        if name in _SHORT:
            name, implied = _SHORT[name]
            clash = sorted(set(implied) & set(params))
            if clash:
                raise MetricError(
                    f"{match['name']} means {name}(encoder=inception); write {name}(...) to change "
                    f"{clash[0]!r}"
                )
            params = {**implied, **params}
        return cls.of(name, **params)

    def __str__(self) -> str:
        """Print the one canonical form."""
        if not self.params:
            return self.name
        return f"{self.name}({','.join(f'{k}={_show(v)}' for k, v in self.params)})"

    def get(self, key: str, default: Value) -> Value:
        """Return a parameter's value, or the default."""
        return dict(self.params).get(key, default)


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.strip("'\"")
    return value if isinstance(value, (int, float, str)) else text


def _show(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_metric(metric: str) -> tuple[str, str, str]:
    """Split a printed metric into base name, parameters with parentheses, and part.

    >>> split_metric("scene_accuracy(judge=a)/shape")
    ('scene_accuracy', '(judge=a)', 'shape')
    """
    match = _ROW.match(metric)
    return (
        (match["base"], match["params"] or "", match["part"] or "") if match else (metric, "", "")
    )


REFERENCE_COPIES = "reference_copies"  # in a protocol: how many images are of the reference
SURE = 0.05  # p values below show a difference


def reaching_0(
    low: float | None, high: float | None, p_value: float
) -> tuple[float | None, float | None]:
    """The ends of an interval, widened to hold 0 where its test does not show that 0 is wrong.

    A bootstrap of few prompts that differ leaves out 0 too easily: of four that differ, all the
    same way, it misses all in 2 % of its draws, while chance alone has them agree in 1 of 8 cases.
    """
    if low is None or high is None or p_value < SURE:
        return low, high
    return min(low, 0.0), max(high, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and the bounds of its interval (None: too few groups to say)."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """How a report speaks of a metric and what it does with it.

    ``label`` is for headings and sentences, ``meaning`` one sentence for the reader. ``group`` is
    the title of the table that the metric stands in, ``unit`` is written after values, ``scale``
    says how they are written (``percent`` for shares of 1, ``seconds`` as ms, s, min or h,
    ``thousands`` divided by 1000 and ``thousandths`` times 1000, which the label must say).
    ``axis`` is the question that the metric bears on, and of those with a ``priority`` the lowest
    that was measured stands for the axis in the verdict. ``is_distance`` marks distances of the
    images as a set from the reference, whose orders of the generators are compared; ``is_exact``
    numbers that are known and need no interval. ``fact`` names what the prompt states and an image
    does not show where it scores less than 1, such as ``colour``. ``parts`` describe rows such as
    ``scene_accuracy/shape``, each by the name behind the stroke.
    """

    label: str
    meaning: str
    group: str = "Other measures"
    unit: str = ""
    scale: Scale = "plain"
    axis: Axis | None = None
    priority: int | None = 100
    direction: Direction = "none"
    target: float | None = None
    is_distance: bool = False
    is_exact: bool = False
    fact: str = ""
    parts: Mapping[str, About] = dataclasses.field(default_factory=dict)

    @classmethod
    def named(cls, metric: str) -> About:
        """What can be said of a metric that says nothing of itself."""
        base, _, part = split_metric(metric)
        label = base.rpartition(":")[2].replace("_", " ")
        return cls(label=label, meaning=f"As the metric {base} measures it.").part(part)

    def part(self, name: str) -> About:
        """The words for one of several rows; ``""`` is the metric itself."""
        if not name:
            return self
        label = f"{self.label}, {name.replace('_', ' ')}"
        return self.parts.get(name) or dataclasses.replace(self, label=label, parts={})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the parts."""
        fields = (f.name for f in dataclasses.fields(self) if f.name != "parts")
        return {name: getattr(self, name) for name in fields}

    @classmethod
    def from_dict(cls, metric: str, data: Mapping[str, Any]) -> About:
        """Read what ``to_dict`` gave; what is missing or no longer known has its default."""
        plain = cls.named(metric)
        words = {"scale": SCALES, "axis": (*AXES, None), "direction": DIRECTIONS}
        kinds = {"priority": (int, type(None)), "target": (int, float, type(None))}
        given = {
            key: data[key]
            for key, default in plain.to_dict().items()
            if key in data
            and (
                data[key] in words[key]
                if key in words
                else isinstance(data[key], kinds.get(key, type(default)))
            )
        }
        return dataclasses.replace(plain, **given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One number with everything needed to read it; one row of the results table.

    ``metric`` is the printed spec, with ``/part`` appended where one spec gives several rows
    (``scene_accuracy/shape``). ``low`` and ``high`` bound a 95 % interval (None: no interval).
    ``direction`` says which way is better; ``target`` means nearest to ``target``. ``value`` is
    None when not measured, and ``note`` then says why. ``protocol`` holds what the number depends
    on besides the images. ``about`` holds the words for it, once they are known.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    direction: Direction = "none"
    target: float | None = None
    images: int | None = None
    references: int | None = None
    protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    note: str | None = None
    about: About | None = dataclasses.field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, interval: Interval | None, about: About | None = None, **fields: Any
    ) -> MetricResult:
        """A result with the value and the ends of an interval; unit, direction and target are those
        that ``about`` says unless they are given.
        """
        said = {k: getattr(about, k) for k in ("unit", "direction", "target")} if about else {}
        ends = dataclasses.asdict(interval) if interval else {"value": None}
        return cls(about=about, **{**said, **ends, **fields})

    @property
    def described(self) -> About:
        """What to say of the metric, from its name alone where it says nothing itself."""
        return self.about or About.named(self.metric)

    def to_dict(self) -> dict[str, Any]:
        """The number and all that it depends on as plain data, without the words."""
        fields = (f.name for f in dataclasses.fields(self) if f.name != "about")
        return {name: getattr(self, name) for name in fields}
