"""What a run says of its metrics, so that a report needs nothing but the run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import write_atomically
from gandiff.common.run_record import DESCRIPTIONS
from gandiff.evaluate.cost_descriptions import COSTS
from gandiff.evaluate.features.encoders import is_shipped
from gandiff.evaluate.result import About, MetricResult, MetricSpec, split_metric
from gandiff.experiments.plugins.registry import METRICS, make_metric, with_encoder
from gandiff.reports.reading import load_run


def about_metric(metric: str) -> About:
    """What can be said of a row of results by its name alone.

    A metric that is not installed here has no more than its name.
    """
    base, params, part = split_metric(metric)
    if base in COSTS:
        return COSTS[base].part(part)
    try:
        return make_metric(MetricSpec.parse(base + params)).describe(part)
    except (MetricError, RequestError):
        return About.named(metric)


def default_metrics(*, scenes: bool = True, task: str = "text_to_image") -> list[str]:
    """The built-in metrics of a task that can stand for an axis: on scenes those whose weights are
    shipped, elsewhere the first two of each axis.
    """
    named = (with_encoder(name, scenes=scenes) for name in METRICS)
    metrics = [make_metric(MetricSpec.parse(text)) for text in named]
    return [
        str(metric.spec)
        for metric in metrics
        if (not metric.tasks or task in metric.tasks)
        and (rank := metric.describe().priority) is not None
        and (all(is_shipped(name) for name in metric.encoders) if scenes else rank < 2)
    ]


def write_descriptions(folder: Path, results: Iterable[MetricResult]) -> None:
    """Write what the results of a run say of themselves, and what costs are.

    What was measured describes itself better than what was not.
    """
    rows = sorted(results, key=lambda row: row.value is not None)
    _write(folder, {**COSTS, **{row.metric: row.described for row in rows}})


def describe_run(folder: Path) -> None:
    """Describe the metrics of a run by their names, or add the facts that an older version did not
    name to what the run says of them.
    """
    run = load_run(folder)
    said = dict(run.abouts)
    for metric in dict.fromkeys(row.result.metric for row in run.results):
        named = about_metric(metric)
        said[metric] = dataclasses.replace(said.get(metric, named), fact=named.fact)
    _write(folder, said)


def _write(folder: Path, said: Mapping[str, About]) -> None:
    data = {metric: about.to_dict() for metric, about in said.items()}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / DESCRIPTIONS, text.encode("utf-8"))
