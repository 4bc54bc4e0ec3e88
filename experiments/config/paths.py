"""Paths and names: of the comparison files that ship, and of what a comparison file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import SettingError
from gandiff.common.files import PACKAGE, expanded
from gandiff.common.names import did_you_mean
from gandiff.models.diffusion.places import is_single_file, local_path, weight_places
from gandiff.models.weights import PRETRAINED, shipped_names

WEIGHTS = ("weights", "pipeline")  # settings that hold a shipped name, a path or a hub id
PATHS = (*WEIGHTS, "folder")


def shipped_weights() -> dict[str, Path]:
    """The generators that ship with the project, by name."""
    return {name: PRETRAINED / name for name in shipped_names()}


def shipped_comparisons() -> dict[str, Path]:
    """The comparison files that ship with the project, by name."""
    files = (PACKAGE / "experiments" / "comparisons").glob("*.yaml")
    return {file.stem: file for file in sorted(files)}


def named_comparison(name: Path) -> Path | None:
    """The shipped comparison of this name; None for any other name and wherever a file has it."""
    return None if name.is_file() else shipped_comparisons().get(str(name))


def comparison_names() -> dict[str, str]:
    """Each shipped comparison with the first sentence of the comment at its top."""
    return {
        name: re.sub(r"\n#? *", " ", file.read_text(encoding="utf-8").split("\n#\n# ")[1])
        .split(". ")[0]
        .rstrip(".")
        for name, file in shipped_comparisons().items()
    }


def resolve_settings(type_: str, settings: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Make the paths among a generator's settings absolute; shipped names and hub ids stay as they
    are.

    Raises ``SettingError`` for something that can only be a path (``./x``, ``/x``, a folder of
    images) and is not there, and for a bare name that is neither shipped nor a path.
    """
    resolved = dict(settings)
    for place, value in named_weights(type_, settings):
        if value.strip():
            resolved = put(resolved, place.split("."), _resolve(type_, place, value, base))
    folder = settings.get("folder")
    if isinstance(folder, str) and folder.strip():
        resolved["folder"] = _resolve(type_, "folder", folder, base)
    return resolved


def named_weights(type_: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that name weights, by their place among them: ``pipeline``, ``loras.0.path``."""
    if type_ == "diffusers":
        return list(weight_places(settings))
    return [(key, settings[key]) for key in WEIGHTS if isinstance(settings.get(key), str)]


def without_places(settings: Mapping[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """Settings without those at these places."""
    left = dict(settings)
    for place in places:
        left = put(left, place.split("."), None)
    return left


def put(settings: Any, place: Sequence[str], value: str | None) -> Any:
    """A copy of settings with another value at a place, or, with None, without it."""
    if not place:
        return value
    first, rest = place[0], place[1:]
    if isinstance(settings, (list, tuple)):
        return [
            put(item, rest, value) if i == int(first) else item for i, item in enumerate(settings)
        ]
    if rest:
        return {**settings, first: put(settings[first], rest, value)}
    kept = {key: item for key, item in settings.items() if key != first}
    return kept if value is None else {**settings, first: value}


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """All texts among settings, each with its place: ``loras.0.path``."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from texts(one, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from texts(one, f"{place}.{number}")


def local_weights(settings: Mapping[str, Any]) -> Path | None:
    """Where the weights that settings name lie on this machine; None for a hub id or none."""
    for key in WEIGHTS:
        value = settings.get(key)
        if isinstance(value, str) and key == "pipeline":
            return local_path(value)
        if isinstance(value, str):
            path = shipped_weights().get(value, expanded(value))
            return path if path.exists() else None
    return None


def _resolve(type_: str, key: str, value: str, base: Path) -> str:
    shipped = shipped_names(controlnets=key.rpartition(".")[2] == "controlnet")
    if key != "folder" and value in shipped:
        return value
    path = (base / expanded(value)).resolve()
    if path.exists():
        return str(path)
    built_in = type_ in ("gan", "diffusers", "folder")
    if key == "folder" and built_in:
        raise SettingError((key,), f"there is no folder {path}")
    is_path = Path(value).is_absolute() or value.startswith((".", "~")) or is_single_file(value)
    if built_in and (is_path or key == "weights" or "/" not in value):
        bare = "/" not in value
        known = f"no weights named {value!r} ship with the project, and " if bare else ""
        near = did_you_mean(value, shipped) if bare else ""
        raise SettingError(tuple(key.split(".")), f"{known}there is nothing at {path}{near}")
    return value
