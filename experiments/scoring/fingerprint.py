"""What the tables of a run depend on, part by part, so that a change is noticed and named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import PACKAGE
from gandiff.common.run_record import RESULTS
from gandiff.evaluate.features.weights import missing_weights
from gandiff.evaluate.metric import ImageRecord
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.plugins.registry import make_metric, metric_class
from gandiff.experiments.plugins.source import Unidentified, code_identity
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import is_table
from gandiff.experiments.scoring.problems import unmeasured

_SCORING = 9  # raised when the same images would get other numbers or directions
# What decodes images, runs the encoders and brings metrics or networks along.
_PACKAGES = (
    *("pillow", "numpy", "scipy", "torch", "torchvision", "torchmetrics", "torch-fidelity"),
    *("open-clip-torch", "transformers"),
)
_CACHES = (
    "TORCH_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "XDG_CACHE_HOME",
)  # where weights are looked for
_SAID = {  # what is not asked for in the comparison, and so would surprise
    "prompts": "the categories or facts of the prompts",
    "reference": "the reference images",
    "weights": "the weights of encoders or judges",
    "metrics": "the sources of metrics",
    "packages": "the versions of packages",
}


def fingerprint(run: Run, reference: Sequence[ImageRecord] | None) -> dict[str, str]:
    """A hash of each part of what the tables are made from.

    ``reference`` are the reference images, where they lie outside of the run.
    """
    comparison = run.record.comparison
    return {
        "comparison": _digest([json.dumps([_SCORING, comparison], sort_keys=True)]),
        **_inside(run),
        "prompts": _digest(json.dumps(prompt.to_dict()) for prompt in run.suite.prompts),
        "reference": _digest(f"{image.group} {image.sha256}" for image in reference or ()),
        "weights": _digest(_weights(run)),
        "metrics": _digest(_metric_code(comparison.get("metrics") or ())),
        "packages": _digest(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def outdated_scores(run: Run) -> str | None:
    """One line if images or timings of the run are not those that its scores were made from."""
    before = run.record.scored_from
    said = {"images": "images", "costs": "timings"}
    changed = [said[part] for part, now in _inside(run).items() if before.get(part, now) != now]
    if not changed:
        return None
    return (
        f"{' and '.join(changed)} have changed since the scores that are reported; measure again "
        f"with: gandiff score {run.folder}"
    )


def _inside(run: Run) -> dict[str, str]:
    """The parts that earlier stages of the run made."""
    images = (
        f"{name} {entry.key} {entry.status} {' '.join(entry.files().values()) or None}"
        for name in run.batches
        for entry in run.entries(name)
    )
    costs = json.dumps(run.record.costs, sort_keys=True)
    return {"costs": _digest([costs]), "images": _digest(images)}


def mark_of(parts: Mapping[str, str]) -> str:
    """One hash of all parts."""
    return _digest([json.dumps(parts, sort_keys=True)])


def say_changes(run: Run, parts: Mapping[str, str]) -> str | None:
    """One line on what has changed since the last scores besides the images and the request."""
    before = run.record.scored_from
    changed = [
        said for part, said in _SAID.items() if part in before and before[part] != parts[part]
    ]
    if not changed:
        return None
    files = [Path(path).name for path in run.ledger.changed]
    listed = f" ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})" if files else ""
    return f"measured again: {', '.join(changed)} have changed since the last scores{listed}"


def _weights(run: Run) -> Iterable[str]:
    """A line for each file of weights, configuration or vocabulary that scoring reads."""
    shipped = PACKAGE / "evaluate" / "pretrained"
    files = sorted(file for file in shipped.glob("*/*") if file.suffix in (".safetensors", ".json"))
    for file in files:
        yield f"{file.relative_to(shipped).as_posix()} {run.ledger.sha256(file)}"
    read = [Path(path) for path in run.record.scoring_files]
    for file in [*read, *_named_files(run.comparison.metrics)]:
        yield f"{file} {run.ledger.sha256(file)}"
    if read:
        yield from (f"{name} {os.environ.get(name)}" for name in _CACHES)
    yield from _awaited(run)


def _awaited(run: Run) -> Iterable[str]:
    """A line for what metrics that could not be measured may have lacked, and find next time."""
    if not is_table(run.folder / RESULTS):
        return
    for text in sorted({metric for metric, _ in unmeasured(run)}):
        with contextlib.suppress(RequestError, MetricError):  # which weights are named and not here
            metric, places = make_metric(MetricSpec.parse(text)), run.comparison.encoders
            yield from (f"{file} {run.ledger.sha256(file)}" for file in metric.files())
            yield from (
                f"{name} {missing_weights(name, places) is None}" for name in metric.encoders
            )


def _metric_code(metrics: Iterable[str]) -> Iterable[str]:
    """A line for each metric of somebody else's; one that cannot be identified is never the same
    as last time.
    """
    for text in metrics:
        with contextlib.suppress(RequestError):  # a metric that is gone is named where it is built
            made = metric_class(MetricSpec.parse(text))
            if getattr(made, "__module__", "gandiff").partition(".")[0] == "gandiff":
                continue
            try:
                yield f"{text} {code_identity(made)}"
            except Unidentified:
                yield f"{text} {uuid.uuid4()}"


def _named_files(metrics: Iterable[str]) -> Iterable[Path]:
    """The files that parameters of metrics name: a file, or all in a folder (``judge=FOLDER``,
    ``dinov2:FOLDER``, ``clip:local-dir:FOLDER``).
    """
    for text in metrics:
        for value in dict(MetricSpec.parse(text).params).values():
            named = Path(str(value).removeprefix("clip:local-dir:").removeprefix("dinov2:"))
            if named.is_file():
                yield named
            elif named.is_dir():
                yield from sorted(file for file in named.rglob("*") if file.is_file())


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
