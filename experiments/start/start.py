"""A comparison of what a user has: every field of the file chosen, written and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import expanded, write_atomically
from gandiff.common.outputs import check_file
from gandiff.common.run_record import COMPARISON_FILE
from gandiff.evaluate.features.weights import check_weights
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.load import comparison_from_text
from gandiff.experiments.config.named_models import Kind
from gandiff.experiments.config.sweep import safe_name
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import make_metric
from gandiff.experiments.prompts.suites import find_suite, open_suite
from gandiff.experiments.runs.describe import default_metrics
from gandiff.experiments.scoring.look import Findings, by_axis, look, refuse, shortages
from gandiff.experiments.start.folders import fit_folder, table_of
from gandiff.experiments.start.models import Model, read_models, relative
from gandiff.experiments.start.text import write_text

SUFFIX = ".yaml"
SHIPPED = ("gan-scenes", "diffusion-scenes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a user has; paths start from the working directory.

    ``models`` are texts of any kind, ``pipelines`` and ``folders`` (of images) of that one, see
    ``read_models``. What is None or empty is chosen.
    """

    models: Sequence[str] = ()
    pipelines: Sequence[str] = ()
    folders: Sequence[str] = ()
    prompts: str | None = None
    reference: Path | None = None
    samples: int | None = None
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def texts(self) -> list[tuple[Kind, str]]:
        """The models with their kinds; the shipped ones if none is named."""
        kinds: dict[Kind, Sequence[str]] = {
            "model": self.models,
            "pipeline": self.pipelines,
            "folder": self.folders,
        }
        texts = [(kind, text) for kind, given in kinds.items() for text in given]
        return texts or [("model", text) for text in SHIPPED]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """The text of a comparison file, what it was read as, and what was seen of it; ``left_out``
    says by axis of the verdict which of the usual metrics are not in it, and why.
    """

    text: str
    comparison: Comparison
    seen: Findings
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)


def start(
    request: Request,
    *,
    file: str = COMPARISON_FILE,
    name: str | None = None,
    base: Path | None = None,
    overrides: Iterable[str] = (),
    limit: int | None = None,
) -> Start:
    """Write the text of a comparison ``file`` for a request and read it as any other.

    Its paths are relative to ``base``, the folder that it will lie in, or absolute with None.
    ``name`` is that of the run, else that of the models; ``overrides`` and ``limit`` are as for
    ``load_comparison``, and not in the text. Raises ``RequestError`` for whatever a run would
    refuse.
    """
    models = read_models(request.texts)
    suite = _suite(request, models)
    models, samples = _fit_folders(request, models, suite)
    data = {
        "name": safe_name(name or _joint_name(models)).lstrip("._+-") or "comparison",
        "suite": relative(suite, base),
        "samples_per_prompt": samples,
        "generators": {model.name: model.entry(base) for model in models},
        **_more_fields(request, models, suite, base),
    }

    def read(metrics: Sequence[str], left_out: Mapping[str, str] | None = None) -> Start:
        text = write_text({**data, "metrics": list(metrics)}, left_out or {}, file)
        comparison = comparison_from_text(text, file, base or Path(), overrides, limit)
        return Start(text=text, comparison=comparison, seen=Findings())

    has_reference = request.reference is not None
    scenes = suite == "scenes" or (not has_reference and all(m.is_of_scenes for m in models))
    usual = _usual_metrics(scenes=scenes, has_reference="reference" in data)
    short = shortages(read(usual).comparison)
    possible = [metric for metric, why in short.items() if why is None]
    left_out = _unreachable(possible, request.weights)
    made = read([metric for metric in possible if metric not in left_out], left_out)
    seen = look(made.comparison)
    refuse(seen.problems)
    seen.remarks += [f"{metric} is left out: {reason}" for metric, reason in left_out.items()]
    reasons = {**{metric: why for metric, why in short.items() if why}, **left_out}
    return dataclasses.replace(made, seen=seen, left_out=by_axis(reasons))


def save_start(request: Request, out: Path, *, overwrite: bool = False) -> Start:
    """Write the comparison file of a request, named after its run.

    A file that is there stays unless it says the same already or ``overwrite`` is set. Raises
    ``RequestError`` as ``start`` does, and for a name that cannot be.
    """
    check_file(out, SUFFIX)
    made = start(request, file=str(out), name=out.stem, base=out.parent.resolve())
    data = made.text.encode()
    if out.exists() and out.read_bytes() != data and not overwrite:
        raise RequestError(f"{out} is there already; choose another --out, or add --overwrite")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, data)
    return made


def _more_fields(
    request: Request, models: Sequence[Model], suite: str, base: Path | None
) -> dict[str, Any]:
    """The fields that not every comparison has."""

    def place(path: Path) -> str:  # a link to weights stays: what it leads to may have no ending
        path = expanded(path)
        return relative(str(path.parent.resolve() / path.name), base)

    data: dict[str, Any] = {}
    if len(models) > 1:
        data["headline"] = [model.name for model in models[:2]]
    if request.reference is not None:
        data["reference"] = {"folder": place(request.reference)}
    elif suite == "scenes":
        data["reference"] = {"type": "scenes"}
    if request.weights:
        data["encoders"] = {one: place(Path(path)) for one, path in request.weights.items()}
    return data


def _joint_name(models: Sequence[Model]) -> str:
    more = f"-and-{len(models) - 2}-more" if len(models) > 2 else ""
    return "-vs-".join(model.name for model in models[:2]) + more


def _suite(request: Request, models: Sequence[Model]) -> str:
    """The suite, a name or an absolute path."""
    if request.prompts is not None:
        return str(find_suite(request.prompts))
    tables = [table_of(model.settings) for model in models if model.type == "folder"]
    if table := next(filter(None, tables), None):
        return str(table.resolve())
    if all(model.is_of_scenes for model in models):
        return "scenes"
    named = next(model.name for model in models if not model.is_of_scenes)
    raise RequestError(
        f"which prompts {named} is to draw must be given: --prompts FILE, a .txt with a prompt a "
        "line, a .csv, .tsv or .jsonl with a column 'prompt', or the name of a suite (scenes)"
    )


def _fit_folders(request: Request, models: Sequence[Model], suite: str) -> tuple[list[Model], int]:
    """Models with what was seen of how their files are named, and the samples that all have."""
    samples: list[int] = []
    fitted: list[Model] = []
    prompts = open_suite(suite).prompts if any(m.type == "folder" for m in models) else ()
    for model in models:
        if model.type == "folder":
            fit = fit_folder(model.name, model.settings, prompts, request.samples)
            samples.append(fit.samples)
            model = dataclasses.replace(model, settings=fit.settings)
        fitted.append(model)
    return fitted, request.samples or min(samples, default=Comparison.samples_per_prompt)


def _usual_metrics(*, scenes: bool, has_reference: bool) -> list[str]:
    metrics = [make_metric(MetricSpec.parse(text)) for text in default_metrics(scenes=scenes)]
    return [str(one.spec) for one in metrics if has_reference or not one.needs_reference]


def _unreachable(metrics: Iterable[str], weights: Mapping[str, str]) -> dict[str, str]:
    """The metrics whose weights are neither on this machine nor to be had, with the reason."""
    needed = {text: make_metric(MetricSpec.parse(text)).encoders for text in metrics}
    reasons = {
        encoder: _reason(encoder, weights)
        for encoder in {encoder: None for encoders in needed.values() for encoder in encoders}
    }
    return {
        text: next(filter(None, map(reasons.get, encoders)))
        for text, encoders in needed.items()
        if any(map(reasons.get, encoders))
    }


def _reason(encoder: str, weights: Mapping[str, str]) -> str | None:
    try:
        check_weights(encoder, weights)
    except MetricError as error:
        return str(error)
    return None
