"""What a model is called on the command line, and the generator that is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError, SettingError
from gandiff.common.names import did_you_mean
from gandiff.experiments.config.paths import (
    WEIGHTS,
    resolve_settings,
    shipped_comparisons,
    shipped_weights,
)
from gandiff.experiments.config.yaml_source import parse_document
from gandiff.experiments.plugins.registry import generator_types, make_generator
from gandiff.models.diffusion.folders import holds_gan, holds_models
from gandiff.models.generator import Generator

Models = Sequence[str] | Mapping[str, Generator]

_SETTING = re.compile(r",(?=\s*\w+\s*=)")  # a comma inside of a value is not followed by NAME=


def open_models(models: Models) -> dict[str, Generator]:
    """Build the generators, no weights are read yet; raises ``RequestError`` for a wrong one.

    ``models`` are texts such as ``gan-scenes,truncation_psi=0.7``, see ``open_model``, or map names
    to ready generators.
    """
    if not models:
        raise RequestError("no model is given; there is, for example, gan-scenes")
    if isinstance(models, Mapping):
        return dict(models)
    twice = next((text for i, text in enumerate(models) if text in models[:i]), None)
    if twice is not None:
        raise RequestError(f"the model {twice} is given twice")
    opened, wrong = dict[str, Generator](), list[str]()
    for text in models:
        try:
            opened[text] = open_model(text)
        except RequestError as error:
            wrong.append(str(error))
    if wrong:
        raise RequestError("; ".join(wrong))
    return opened


def open_model(text: str) -> Generator:
    """Build the generator that ``TARGET[,SETTING=VALUE...]`` means; values are YAML.

    The target is, in this order: the name of shipped weights, a generator type, a folder (a GAN, a
    diffusers pipeline, or images), ``module:factory``, or a pipeline's id on the hub. Shipped
    weights have the settings that they have in the shipped comparison.
    """
    target, *assignments = (part.strip() for part in _SETTING.split(text))
    type_, settings = _meaning(target)
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        field = parse_document(f"value: {value.strip()}", f"model {text!r}: {name.strip()}")
        settings[name.strip()] = field.data["value"]
    try:
        settings = resolve_settings(type_, settings, Path())
    except SettingError as error:
        raise RequestError(f"model {text!r}: {error}") from None
    return make_generator(text, type_, settings)


def _meaning(target: str) -> tuple[str, dict[str, Any]]:
    """The generator type and the settings that a target stands for."""
    shipped, types, path = shipped_weights(), generator_types(), Path(target).expanduser()
    if target in shipped:
        return _shipped(target, shipped[target])
    if target in types or (":" in target and not path.exists()):
        return target, {}
    if path.is_dir():
        return _of_folder(path, str(path))
    near = [str(path.parent / p.name) for p in path.parent.glob("*/")] if "/" in target else []
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", target) and not near:
        return "diffusers", {"pipeline": target}
    raise RequestError(
        f"no model is named {target!r}: it is neither shipped, nor a generator type, a folder, "
        f"module:factory or an id on the hub{did_you_mean(target, [*shipped, *types, *near])}"
    )


def _shipped(name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Shipped weights with the settings of the first generator of the comparison that has them."""
    document = parse_document(
        shipped_comparisons()["scenes"].read_text(encoding="utf-8"), "scenes.yaml"
    )
    for entry in document.data["generators"].values():
        if name in (entry.get(key) for key in WEIGHTS):
            return entry["type"], {key: value for key, value in entry.items() if key != "type"}
    return _of_folder(folder, name)


def _of_folder(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    if holds_gan(folder) or holds_gan(folder / "best"):
        return "gan", {"weights": name}
    if holds_models(folder):  # which says what it is where it is no pipeline
        return "diffusers", {"pipeline": name}
    return "folder", {"folder": name}
