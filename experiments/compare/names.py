"""From what people write to the metrics that a run has: ``fid``, ``scene_accuracy``, a whole
spec.
"""

from __future__ import annotations

from collections.abc import Collection

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.names import did_you_mean
from gandiff.evaluate.result import MetricSpec, split_metric


def find_metric(name: str, known: Collection[str]) -> str:
    """The one of the known metrics that a name stands for.

    A name without parameters stands for the only metric of that name, and for its row ``/all``
    where it has several. Raises ``RequestError`` if it is none of them or could be several.
    """
    spec, base, part = _read(name)
    rows = [m for m in known if (split_metric(m)[2] or "all") == (part or "all")]
    exact = [m for m in rows if _spec(m) == spec]
    meant = exact or [m for m in rows if spec == base == split_metric(m)[0]]
    if len(meant) > 1:
        raise RequestError(f"{name!r} could be {' or '.join(meant)}; write out which one")
    return meant[0] if meant else _unknown(name, base, known)


def select_metrics(names: Collection[str], known: Collection[str]) -> list[str]:
    """The known metrics that any of the names stands for, in their order.

    A name without part stands for all rows of the metric, one without parameters for all metrics
    of that name unless one has none. Raises ``RequestError`` for a name that stands for none.
    """
    chosen: set[str] = set()
    for name in names:
        spec, base, part = _read(name)
        rows = [m for m in known if part in ("", split_metric(m)[2])]
        exact = [m for m in rows if _spec(m) == spec]
        meant = exact or [m for m in rows if spec == base == split_metric(m)[0]]
        chosen.update(meant or [_unknown(name, base, known)])
    return [metric for metric in known if metric in chosen]


def metric_spec(metric: str) -> MetricSpec:
    """The spec of a row of the results, without its part; raises ``MetricError``."""
    base, params, _ = split_metric(metric)
    return MetricSpec.parse(base + params)


def _read(name: str) -> tuple[str, str, str]:
    """The canonical spec of what was written, its base name and its part."""
    base, params, part = split_metric(name.strip())
    try:
        spec = MetricSpec.parse(base + params)
    except MetricError as error:
        raise RequestError(str(error)) from None
    return str(spec), spec.name, part


def _spec(metric: str) -> str:
    base, params, _ = split_metric(metric)
    return base + params


def _unknown(name: str, base: str, known: Collection[str]) -> str:
    alike = [metric for metric in known if split_metric(metric)[0] == base]
    near = f"; there is {', '.join(alike)}" if alike else did_you_mean(name, known)
    raise RequestError(f"no metric here is named {name!r}{near}")
