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
    part = split_metric(name.strip())[2] or "all"
    meant = _meant(name, known, [m for m in known if (split_metric(m)[2] or "all") == part])
    if len(meant) > 1:
        raise RequestError(f"{name!r} could be {' or '.join(meant)}; write out which one")
    return meant[0]


def select_metrics(names: Collection[str], known: Collection[str]) -> list[str]:
    """The known metrics that any of the names stands for, in their order.

    A name without part stands for all rows of the metric, one without parameters for all metrics
    of that name unless one has none. Raises ``RequestError`` for a name that stands for none.
    """
    chosen: set[str] = set()
    for name in names:
        part = split_metric(name.strip())[2]
        chosen.update(_meant(name, known, [m for m in known if part in ("", split_metric(m)[2])]))
    return [metric for metric in known if metric in chosen]


def metric_spec(metric: str) -> MetricSpec:
    """The spec of a row of the results, without its part; raises ``MetricError``."""
    base, params, _ = split_metric(metric)
    return MetricSpec.parse(base + params)


def _meant(name: str, known: Collection[str], rows: Collection[str]) -> list[str]:
    """The rows of the spec that was written; for a name alone, else those of that name.

    Raises ``RequestError`` if there are none.
    """
    try:
        spec = metric_spec(name.strip())
    except MetricError as error:
        raise RequestError(str(error)) from None
    written = [m for m in rows if "".join(split_metric(m)[:2]) == str(spec)]
    meant = written or [m for m in rows if str(spec) == spec.name == split_metric(m)[0]]
    if not meant:
        alike = [metric for metric in known if split_metric(metric)[0] == spec.name]
        near = f"; there is {', '.join(alike)}" if alike else did_you_mean(name, known)
        raise RequestError(f"no metric here is named {name!r}{near}")
    return meant
