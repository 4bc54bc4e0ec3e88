"""The metrics of a comparison: read, checked, and with their encoders written out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import expanded
from gandiff.evaluate.features.encoders import check_encoder, encoder_module
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.config.yaml_source import Document
from gandiff.experiments.plugins.registry import make_metric, with_encoder


def check_metrics(document: Document, comparison: Comparison, base: Path) -> Comparison:
    """The comparison with metrics that can be built and name their encoders: what is recorded
    means the same later. Their paths start from ``base``. Raises the document's error with the
    field.
    """
    resolved: list[str] = []
    seen: set[str] = set()
    for i, text in enumerate(comparison.metrics):
        field = ("metrics", i)
        try:
            text = _with_paths(text, base)
            resolved.append(with_encoder(text, scenes=comparison.is_on_scenes))
            spec = MetricSpec.parse(resolved[-1])
            metric = make_metric(spec)
        except MetricError as error:
            hint = ""
            if text.count("(") > text.count(")"):
                hint = " (inside [ ] a metric with commas needs quotes)"
            raise document.error(field, f"{error}{hint}") from None
        except RequestError as error:
            raise document.error(field, str(error)) from None
        if str(spec) in seen:
            raise document.error(field, f"{spec} is asked for twice")
        seen.add(str(spec))
        if comparison.reference is None and metric.needs_reference:
            raise document.error(
                field,
                f"{spec} compares with real images; add 'reference:' (type: scenes, or a folder)",
            )
    return dataclasses.replace(comparison, metrics=tuple(resolved))


def _with_paths(text: str, base: Path) -> str:
    """A metric whose paths start from ``base``: absolute ones where that is not the working
    directory.

    Raises ``MetricError`` for a path that is there below the working directory alone.
    """
    spec = MetricSpec.parse(text)
    changed = {}
    for name, value in spec.params:
        prefix, path = _path_in(str(value))
        here, there = expanded(path), (base / expanded(path)).resolve()
        if not path or here.resolve() == there or not (here.exists() or there.exists()):
            continue
        if not there.exists():
            raise MetricError(
                f"{spec}: {name}: paths of a comparison file start from its own folder, and there "
                f"is nothing at {there}; write {here.absolute()}"
            )
        changed[name] = f"{prefix}{there}"
    return str(MetricSpec.of(spec.name, **{**dict(spec.params), **changed})) if changed else text


def _path_in(value: str) -> tuple[str, str]:
    """What stands before a path in a parameter, and the path; nothing where it can be none."""
    prefix = next((one for one in ("clip:local-dir:", "dinov2:") if value.startswith(one)), "")
    path = value.removeprefix(prefix)
    return prefix, path if prefix or "/" in path else ""


def check_encoders(document: Document, comparison: Comparison, base: Path) -> Comparison:
    """The comparison with the places of its encoders' weights made absolute.

    Raises the document's error for an unknown encoder and for a place where there is nothing.
    """
    places = {}
    for name, given in comparison.encoders.items():
        field = ("encoders", name)
        path = (base / expanded(given)).resolve()
        try:
            check_encoder(name)
        except MetricError as error:
            raise document.error(field, str(error)) from None
        if not given.strip() or not path.exists():
            raise document.error(field, f"there are no weights at {path}")
        places[name] = str(path)
    return dataclasses.replace(comparison, encoders=places)


def unused_encoders(comparison: Comparison) -> list[str]:
    """A line on each encoder whose weights are given and that no metric uses."""
    metrics = [make_metric(MetricSpec.parse(text)) for text in comparison.metrics]
    used = list(dict.fromkeys(name for metric in metrics for name in metric.encoders))
    return [
        f"encoders.{name}: no metric reads these weights; the metrics use "
        f"{', '.join(used) or 'no encoder'}"
        for name, place in comparison.encoders.items()
        if not any(encoder_module(encoder, {name: place})[2] for encoder in used)
    ]


def recorded_metrics(comparison: Comparison) -> Comparison:
    """The metrics of a run as they were meant: one that names no encoder was recorded when the
    default was ``scenes`` whatever the pictures.
    """
    return dataclasses.replace(
        comparison, metrics=tuple(name_encoders(comparison.metrics, scenes=True))
    )


def name_encoders(metrics: Iterable[str], *, scenes: bool) -> list[str]:
    """Metrics with their default encoders written out; what cannot be read stays as it is."""
    named = []
    for text in metrics:
        with contextlib.suppress(MetricError, RequestError):
            text = with_encoder(text, scenes=scenes)
        named.append(text)
    return named
