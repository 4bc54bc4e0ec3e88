"""What a metric is called and what a measured number looks like; imports nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

from gandiff.common.errors import MetricError

Direction = Literal["higher", "lower", "target", "none"]
Value = str | int | float | bool

_CALL = re.compile(r"^\s*(?P<name>[a-z][a-z0-9_]*(?::\w+)?)\s*(?:\((?P<body>.*)\))?\s*$", re.DOTALL)
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
            raise MetricError(f"cannot read the metric {text!r}; write name or name(key=value,...)")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricResult:
    """One number with everything needed to read it; one row of the results table.

    ``metric`` is the printed spec, with ``/part`` appended where one spec gives several rows
    (``scene_accuracy/shape``). ``low`` and ``high`` bound a 95 % interval (None: no interval).
    ``direction`` says which way is better; ``target`` means nearest to ``target``. ``value`` is
    None when not measured, and ``note`` then says why. ``protocol`` holds what the number depends
    on besides the images.
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
