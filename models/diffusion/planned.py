"""How a pipeline will be run, known before its weights are read: for plans, keys and the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import HUB_ID, cached_snapshot
from gandiff.common.validation import validate
from gandiff.models.diffusion.evidence import SMALL_FILES, Evidence, evidence_of_pipe, read_evidence
from gandiff.models.diffusion.guidance import SCALE, STEPS
from gandiff.models.diffusion.operation import Operation, resolve
from gandiff.models.diffusion.parts import INDEX
from gandiff.models.diffusion.places import is_single_file, local_folder
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.signatures import call_defaults, class_defaults
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.source_settings import settings_of_stages

# What a file says about a pipeline, which changes nothing in what is made.
LABELS = ("family", "native")
_OTHER_WEIGHTS = ("loras", "unet", "transformer")


def evidence_of(
    settings: DiffusersSettings,
    commit: str | None = None,
    *,
    asks_hub: bool = False,
    as_saved: bool = False,
) -> Evidence | None:
    """What the small files say of the pipeline that settings name; None if they are not here.

    ``commit`` is that of a hub id; ``asks_hub`` fetches what the cache does not have. ``as_saved``
    is that of ``Source``.
    """
    alone = is_single_file(settings.pipeline)
    name = (settings.config if alone else settings.pipeline) or ""
    changed = alone or any(getattr(settings, field) is not None for field in _OTHER_WEIGHTS)
    folder, hub_id = local_folder(name), None
    if folder is None and HUB_ID.fullmatch(name):
        hub_id, revision = name, None if alone else commit or settings.revision
        if asks_hub:
            from gandiff.models.diffusion.hub import fetch_small_files

            fetch_small_files(name, SMALL_FILES, revision, settings.local_files_only)
        folder = cached_snapshot(name, revision)
    if folder is None or not (folder / INDEX).is_file():
        return None
    return read_evidence(folder, hub_id, changed=changed, as_saved=as_saved)


def evidence_of_source(settings: DiffusersSettings, source: Source) -> Evidence | None:
    """The same of a pipeline whose weights have been found."""
    on_hub = source.commit is not None or "config" in source.more
    return evidence_of(settings, source.commit, asks_hub=on_hub, as_saved=source.as_saved)


def planned_operation(settings: DiffusersSettings, seen: Evidence | None) -> Operation:
    """How a pipeline of this evidence will be run; raises ``GeneratorError`` as ``resolve``.

    Without evidence all that is known is what was set.
    """
    if seen is None:
        return resolve(settings, Evidence(class_name="pipeline"), {})
    return resolve(settings, seen, class_defaults(seen.class_name))


def confirmed(
    settings: DiffusersSettings, seen: Evidence | None, planned: Operation, pipe: Any
) -> Operation:
    """How a pipeline that is loaded will be run; raises ``GeneratorError`` where that is not as it
    was planned from its small files.
    """
    name = type(pipe).__name__
    known = evidence_of_pipe(pipe) if seen is None else seen.of_class(name)
    operation = resolve(settings, known, call_defaults(type(pipe)))
    if seen is not None and operation.point != planned.point:
        raise GeneratorError(
            f"{planned.class_name} was planned to run with {planned.point} and would run with "
            f"{operation.point} as {name}; set num_inference_steps and guidance_scale"
        )
    return operation


def decisive_settings(
    settings: Mapping[str, Any],
    kept: Mapping[str, Any],
    commit: str | None = None,
    *,
    asks_hub: bool = False,
) -> dict[str, Any]:
    """The settings as they decide the pixels: steps and guidance resolved, with what else is sent
    to the call, and without labels.

    ``kept`` are those of the settings that do, besides. What cannot be resolved here is left out. A
    scale that has no effect counts as 7.5, which was the default once, so that images of then are
    valid.
    """
    decisive = {key: value for key, value in kept.items() if key not in LABELS}
    try:
        checked = validate(DiffusersSettings, settings)
        if checked.stages is not None:
            return _unset_left_out(decisive, settings) | {"points": _points(checked, asks_hub)}
        seen = evidence_of(checked, commit, asks_hub=asks_hub)
        operation = None if seen is None else planned_operation(checked, seen)
    except GeneratorError:  # building the generator says the same
        operation = None
    if operation is None:
        return _unset_left_out(decisive, settings)
    former = {STEPS: 50, SCALE: 7.5}
    for key, chosen in ((STEPS, operation.steps), (SCALE, operation.guidance)):
        decisive[key] = former[key] if chosen.value is None else chosen.value
    return {**decisive, **({"sent": operation.unusual} if operation.unusual else {})}


def _points(settings: DiffusersSettings, asks_hub: bool) -> list[dict[str, Any] | None]:
    """What each stage of a cascade is called with; None where its small files are not here."""
    points = []
    for number, stage in enumerate(settings_of_stages(settings)):
        seen = evidence_of(stage, None, asks_hub=asks_hub, as_saved=number > 0)
        points.append(None if seen is None else planned_operation(stage, seen).point)
    return points


def _unset_left_out(decisive: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    unset = [key for key in (STEPS, SCALE) if settings.get(key) is None]
    return {key: value for key, value in decisive.items() if key not in unset}
