"""The models that a user names, as generators of a comparison: names, types, settings."""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.files import expanded
from gandiff.experiments.config.named_models import Kind, read_model
from gandiff.experiments.config.paths import (
    local_weights,
    named_weights,
    put,
    resolve_settings,
)
from gandiff.experiments.config.sweep import point_name, safe_name
from gandiff.models.weights import read_card

_NAMED = re.compile(r"([A-Za-z0-9][\w.+-]*)=(.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model as it will stand in a comparison file; its paths are absolute."""

    name: str
    type: str
    settings: Mapping[str, Any]
    is_of_scenes: bool  # it is known to draw the built-in scenes

    def entry(self, base: Path | None) -> dict[str, Any]:
        """What a comparison file says of it, paths relative to ``base`` (None: absolute)."""
        settings = dict(self.settings)
        for place, value in _places(self.type, settings):
            settings = put(settings, place.split("."), relative(value, base))
        module, colon, name = self.type.rpartition(":")
        type_ = f"{relative(module, base)}:{name}" if colon else self.type
        return {"type": type_, **settings}


def read_models(texts: Iterable[tuple[Kind, str]]) -> list[Model]:
    """Read ``[NAME=]TARGET[,SETTING=VALUE...]`` (``read_model``) by kind; paths start from the
    working directory.

    Without a name it is what the target ends with; where two would have the same, their settings
    or the folders around them tell them apart. Raises ``RequestError`` that names all wrong ones.
    """
    read, wrong = list[_Read](), list[str]()
    for kind, text in texts:
        try:
            read.append(_read(kind, text))
        except RequestError as error:
            wrong.append(str(error))
    if wrong:
        raise RequestError("; ".join(wrong))
    names = _names(read)
    return [
        Model(name=name, type=one.type, settings=one.settings, is_of_scenes=_is_of_scenes(one))
        for name, one in zip(names, read, strict=True)
    ]


def relative(value: str, base: Path | None) -> str:
    """An absolute path as a file in ``base`` names it; anything else stays as it is."""
    return value if base is None or not os.path.isabs(value) else os.path.relpath(value, base)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Read:
    given: str | None  # the name
    target: str
    type: str
    settings: Mapping[str, Any]
    written: Mapping[str, Any]


def _read(kind: Kind, text: str) -> _Read:
    named = None if expanded(text).exists() else _NAMED.fullmatch(text)
    given, rest = (str(named[1]), str(named[2])) if named else (None, text)
    target, type_, settings, written = read_model(rest, kind)
    try:
        settings = resolve_settings(type_, {**settings, **written}, Path())
    except SettingError as error:
        raise RequestError(f"model {text!r}: {error}") from None
    module, colon, factory = type_.rpartition(":")
    if colon and module.endswith(".py"):
        type_ = f"{expanded(module).absolute()}:{factory}"
    return _Read(given=given, target=target, type=type_, settings=settings, written=written)


def _names(models: Sequence[_Read]) -> list[str]:
    given = {one.given for one in models if one.given}
    if len(given) < sum(one.given is not None for one in models):
        raise RequestError("two models have the same name; give each another NAME=MODEL")
    unnamed = [one for one in models if not one.given]
    names: list[str] = []
    for one in models:
        same = [m for m in unnamed if m is not one and _last(m, 1) == _last(one, 1)]
        name = one.given or (_distinct(one, same) if same else _last(one, 1))
        taken = {*names, *(given if not one.given else ())}
        numbered = (f"{name}-{number}" for number in range(2, len(models) + 2))
        names.append(next(n for n in (name, *numbered) if n.casefold() not in _folded(taken)))
    return names


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _distinct(one: _Read, same: Sequence[_Read]) -> str:
    """A longer name, where others end with the same: by the folder around it, or its settings."""
    if all(other.target != one.target for other in same):
        return _last(one, 2)
    short = _last(one, 1)
    return point_name(short, one.written.items()) if one.written else short


def _last(one: _Read, parts: int) -> str:
    """The last parts of a target as a name: ``my-gan`` of ``runs/my-gan/best``."""
    words = [word for word in re.split(r"[/\\:]", one.target) if word not in ("", ".", "..", "~")]
    if len(words) > 1 and words[-1] == "best":  # of a training
        del words[-1]
    name = safe_name("-".join(words[-parts:])).lstrip("._+-")
    return name or "model"


def _places(type_: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that hold paths."""
    folder = settings.get("folder")
    places = named_weights(type_, settings)
    return [*places, ("folder", folder)] if isinstance(folder, str) else places


def _is_of_scenes(one: _Read) -> bool:
    if one.type.startswith("gandiff.experiments.scenes."):
        return True
    weights = local_weights(one.settings)
    if weights is None or not weights.is_dir():
        return False
    cards = (read_card(folder) for folder in (weights, weights / "best"))
    return any((card.training or {}).get("data") == "scenes" for card in cards)
