"""Turning Python objects into a comparison: what ``gandiff.compare`` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.evaluate.features.encoders import is_shipped
from gandiff.evaluate.metric import Metric
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import METRICS, make_metric
from gandiff.experiments.prompts.suites import Prompt, PromptSuite
from gandiff.models.generator import Generator


def default_metrics() -> list[str]:
    """On scenes: the built-in metrics that can stand for an axis and whose weights are shipped."""
    metrics = [make_metric(MetricSpec(name)) for name in METRICS]
    return [str(metric.spec) for metric in metrics if _is_default(metric)]


def _is_default(metric: Metric) -> bool:
    about = metric.describe()
    return about.priority is not None and all(is_shipped(name) for name in metric.encoders)


def build(
    generators: Mapping[str, Any],
    suite: Any,
    metrics: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> tuple[Comparison, PromptSuite | None, dict[str, Generator]]:
    """A comparison, the prompts if given as objects, and the generators that are objects."""
    if not generators:
        raise RequestError("compare() needs at least one generator: generators={'name': ...}")
    ready = {n: _ready(n, g) for n, g in generators.items() if not isinstance(g, Mapping)}
    described = {n: dict(g) for n, g in generators.items() if isinstance(g, Mapping)}
    prompts = _prompts(suite)
    named = {"name": "scenes"} if prompts is not None else suite
    scenes = prompts is None and _is_scenes(suite)
    if metrics is None:
        if not scenes:
            raise RequestError(
                "compare() on prompts of your own needs metrics=[...], see: gandiff list metrics"
            )
        metrics = default_metrics()
    data: dict[str, Any] = {
        "name": "compare",
        "suite": dict(named) if isinstance(named, Mapping) else str(named),
        "generators": described,
        "metrics": list(metrics),
        **settings,
    }
    if scenes:
        data.setdefault("reference", {"type": "scenes"})
    comparison = comparison_from_dict(data, base=Path(), origin="compare()", objects=ready)
    # The given order is the order of the report, whichever way each generator was given.
    ordered = {name: comparison.generators[name] for name in generators}
    import dataclasses

    return dataclasses.replace(comparison, generators=ordered), prompts, ready


def _is_scenes(suite: Any) -> bool:
    return suite == "scenes" or (isinstance(suite, Mapping) and suite.get("name") == "scenes")


def _ready(name: str, generator: Any) -> Generator:
    if isinstance(generator, Generator):
        return generator
    if callable(generator):
        from gandiff.models.callable import CallableGenerator

        return CallableGenerator(name=name, function=generator)
    raise RequestError(
        f"generator {name!r} has the type {type(generator).__name__}; needed is a Generator, "
        "a function (prompts, seeds) -> images, or a mapping such as {'type': 'gan'}"
    )


def _prompts(suite: Any) -> PromptSuite | None:
    if isinstance(suite, PromptSuite):
        return suite
    if isinstance(suite, (str, Path, Mapping)):
        return None
    try:
        texts = [str(text) for text in suite]
    except TypeError:
        raise RequestError(
            f"suite has the type {type(suite).__name__}; "
            "needed is a name, a file, a PromptSuite or a list of prompts"
        ) from None
    prompts = tuple(Prompt(id=f"{i:05d}", text=text) for i, text in enumerate(texts))
    return PromptSuite(name="prompts", prompts=prompts, source="a list of prompts")
