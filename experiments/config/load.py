"""The comparison file: read, overridden, checked in full before anything is made."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, SettingError, show
from gandiff.common.files import expanded
from gandiff.common.names import did_you_mean
from gandiff.common.run_record import RECORD
from gandiff.common.validation import validate
from gandiff.experiments.config.metrics import check_encoders, check_metrics, recorded_metrics
from gandiff.experiments.config.overrides import override, switch
from gandiff.experiments.config.paths import (
    named_comparison,
    resolve_settings,
    shipped_comparisons,
)
from gandiff.experiments.config.sweep import Sweeps, expand_sweeps, for_points
from gandiff.experiments.config.tasks import check_task, refuse_tasks
from gandiff.experiments.config.types import Comparison, GeneratorConfig, comparison_to_dict
from gandiff.experiments.config.yaml_source import Document, parse_document
from gandiff.experiments.plugins.registry import check_settings

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_SAFE_WORDS = "letters, digits and . _ + -, starting with a letter or digit, at most 64 characters"


def load_comparison(
    path: str | Path,
    overrides: Iterable[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Comparison:
    """Read and check a comparison file, or a shipped one by its name (``scenes``).

    ``overrides`` are ``field.path=value`` assignments, applied in order; ``limit`` keeps at most
    the first N prompts; ``encoders`` says where weights of encoders lie, from the working
    directory. Relative paths start from the folder of the file, or from the working directory if
    the comparison is a shipped one. Every problem raises ``RequestError`` with the file, the line
    and the field.
    """
    path = Path(path)
    shipped = named_comparison(path)
    base = Path() if shipped else path.parent
    path = shipped or path
    return comparison_from_text(read_file(path), str(path), base, overrides, limit, encoders)


def comparison_from_text(
    text: str,
    origin: str,
    base: Path,
    overrides: Iterable[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Comparison:
    """Read and check what a comparison file says, or would say: ``origin`` is what errors call it,
    relative paths start from ``base``. The rest is as for ``load_comparison``.
    """
    document = parse_document(text, origin)
    override(document, overrides, limit, encoders)
    refuse_tasks(document)
    return check_document(document, base=base, text=text)


def comparison_from_dict(
    data: Mapping[str, Any],
    *,
    base: str | Path = ".",
    origin: str = "comparison",
    objects: Iterable[str] = (),
    trusted: bool = False,
) -> Comparison:
    """Check a comparison given as plain data of the same shape as the file.

    ``objects`` are names of generators that exist as Python objects; they get the type ``python``.
    ``trusted`` data was written by ``comparison_to_dict``: what it names may have gone since and
    is not looked for.
    """
    document = Document(origin=origin, data=dict(data))
    sweeps = _recorded_sweeps(document) if trusted else {}
    ready = {name: {"type": "python"} for name in objects}
    if ready:
        document.data["generators"] = {**document.data.get("generators", {}), **ready}
    if trusted:
        typed = dataclasses.replace(_typed(document), base=str(base), sweeps=sweeps)
        return recorded_metrics(typed)
    override(document)
    return check_document(document, base=Path(base), objects=ready)


def change_comparison(
    recorded: Comparison,
    overrides: Iterable[str],
    limit: int | None,
    encoders: Mapping[str, str] | None = None,
    *,
    origin: str,
) -> Comparison:
    """The comparison of a run with fields overridden; itself if there is nothing to override.

    What changes is checked as in a file. The rest may name files that have gone since.
    """
    overrides = list(overrides)
    if not overrides and limit is None and not encoders:
        return recorded
    document = Document(origin=origin, data=comparison_to_dict(recorded))
    sweeps = _recorded_sweeps(document)
    overrides = [one for given in overrides for one in for_points(given, sweeps)]
    override(document, overrides, limit, encoders)
    comparison = dataclasses.replace(_typed(document), base=recorded.base, sweeps=sweeps)
    if comparison == dataclasses.replace(recorded, text=""):
        return recorded
    base, before = recorded.folder, recorded.generators
    check_task(document, comparison)
    _check_name(document, ("name",), comparison.name)
    if comparison.suite != recorded.suite:
        _check_suite(document, comparison, base)
    kept = [name for name, config in comparison.generators.items() if config == before.get(name)]
    comparison = _check_generators(document, comparison, base, kept)
    if comparison.reference != recorded.reference:
        comparison = _check_reference(document, comparison, base)
    if comparison.encoders != recorded.encoders:
        comparison = check_encoders(document, comparison, base)
    if (comparison.reference, comparison.metrics) != (recorded.reference, recorded.metrics):
        comparison = check_metrics(document, comparison, base)
    _check_headline(document, comparison)
    return comparison


def read_file(path: Path) -> str:
    """The text of a comparison file; raises ``RequestError``."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        bare = path.name == str(path) and not path.suffix
        near = did_you_mean(path.name, [*names, *shipped_comparisons()] if bare else names)
        raise RequestError(f"there is no comparison file {path}{near}") from None
    except IsADirectoryError:
        raise RequestError(f"{path} is a folder; must be a comparison file (.yaml)") from None
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{path}: must be a comparison file (.yaml), which is UTF-8 text ({error.reason})"
        ) from None
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None


def check_document(
    document: Document,
    *,
    base: Path,
    text: str = "",
    objects: Iterable[str] = (),
) -> Comparison:
    """The comparison that a document holds; relative paths start from ``base``."""
    document.data.setdefault("name", Path(document.origin).stem)
    sweeps = expand_sweeps(document)
    comparison = dataclasses.replace(_typed(document), sweeps=sweeps)
    _check_name(document, ("name",), comparison.name)
    check_task(document, comparison)
    _check_suite(document, comparison, base)
    comparison = _check_generators(document, comparison, base, objects)
    comparison = _check_reference(document, comparison, base)
    comparison = check_encoders(document, comparison, base)
    comparison = check_metrics(document, comparison, base)
    _check_headline(document, comparison)
    return dataclasses.replace(comparison, base=str(base.resolve()), text=text)


def _recorded_sweeps(document: Document) -> Sweeps:
    """Take the sweeps out of what ``comparison_to_dict`` wrote, where the points stand by names."""
    sweeps = document.data.pop("sweeps", {})
    return {name: tuple(points) for name, points in sweeps.items()}


def _typed(document: Document) -> Comparison:
    data = dict(document.data)
    if isinstance(timing := data.get("timing"), str):
        near = did_you_mean(timing, ("on", "off"))
        raise document.error(("timing",), f"must be on, off or a mapping, got {timing!r}{near}")
    generators = data.get("generators")
    if isinstance(generators, dict):
        data["generators"] = {
            name: _split_settings(document, name, config) for name, config in generators.items()
        }
    try:
        return validate(Comparison, data)
    except SettingError as error:
        field = tuple(part for part in error.field if part != "settings")
        raise document.error(field, error.problem) from None


def _split_settings(document: Document, name: str, config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise document.error(
            ("generators", name), f"must be a mapping with 'type:' and settings, got {show(config)}"
        )
    settings = {key: value for key, value in config.items() if key not in ("type", "timing")}
    split: dict[str, Any] = {"settings": settings}
    if "type" in config:
        split["type"] = config["type"]
    if config.get("timing") is not None:
        split["timing"] = switch(config["timing"]) or config["timing"]
    if (config.get("type"), split.get("timing")) == ("folder", "on"):
        problem = "images that were made elsewhere cannot be timed, got 'on'"
        raise document.error(("generators", name, "timing"), problem)
    return split


def _check_name(document: Document, field: tuple[str, ...], name: str) -> None:
    if not SAFE_NAME.fullmatch(name) or name.endswith("."):
        raise document.error(
            field, f"{show(name)} cannot be the name of a file; it takes {_SAFE_WORDS}"
        )


def _check_suite(document: Document, comparison: Comparison, base: Path) -> None:
    from gandiff.experiments.prompts.suites import find_suite

    try:
        find_suite(comparison.suite.name, base)
    except RequestError as error:
        raise document.error(("suite", "name"), str(error)) from None


def _check_generators(
    document: Document, comparison: Comparison, base: Path, objects: Iterable[str]
) -> Comparison:
    checked: dict[str, GeneratorConfig] = {}
    folded: dict[str, str] = {}
    for name, config in comparison.generators.items():
        field = ("generators", name)
        _check_name(document, field, name)
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise document.error(
                field, f"differs from {other!r} only in case; the folders would clash"
            )
        if name in objects:
            checked[name] = config
            continue
        try:
            settings = check_settings(config.type, config.settings, base)
            settings = resolve_settings(config.type, settings, base)
        except SettingError as error:
            raise document.error((*field, *error.field), error.problem) from None
        except RequestError as error:
            raise document.error(field, str(error)) from None
        if config.type == "folder":
            _check_pattern(document, name, settings, comparison.samples_per_prompt)
        checked[name] = dataclasses.replace(config, settings=settings)
    return dataclasses.replace(comparison, generators=checked)


def _check_pattern(
    document: Document, name: str, settings: Mapping[str, Any], samples: int
) -> None:
    pattern = settings.get("pattern")
    if samples > 1 and isinstance(pattern, str) and not re.search(r"\{(sample|seed)\b", pattern):
        raise document.error(
            ("generators", name, "pattern"),
            f"{pattern!r} names one file for all {samples} samples of a prompt; put {{sample}} or "
            "{seed} into it, or set samples_per_prompt to 1",
        )


def _check_reference(document: Document, comparison: Comparison, base: Path) -> Comparison:
    reference = comparison.reference
    if reference is None or reference.folder is None:
        return comparison
    folder = (base / expanded(reference.folder)).resolve()
    if not folder.is_dir():
        raise document.error(("reference", "folder"), f"there is no folder {folder}")
    if (folder / RECORD).is_file():
        raise document.error(
            ("reference", "folder"), f"{folder} is a run folder; must be a folder of images"
        )
    reference = dataclasses.replace(reference, folder=str(folder))
    return dataclasses.replace(comparison, reference=reference)


def _check_headline(document: Document, comparison: Comparison) -> None:
    for i, name in enumerate(comparison.headline or ()):
        if name not in comparison.generators:
            near = did_you_mean(name, comparison.generators)
            if name in comparison.sweeps:
                near = f"; it is a sweep: name one of {', '.join(comparison.sweeps[name])}"
            raise document.error(("headline", i), f"no generator is named {name!r}{near}")
    if comparison.headline and comparison.headline[0] == comparison.headline[1]:
        raise document.error(("headline",), "must name two different generators")
