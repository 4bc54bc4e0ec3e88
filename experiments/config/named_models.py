"""What a model is called on the command line, and the type and settings that are meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from gandiff.common.errors import RequestError
from gandiff.common.files import expanded
from gandiff.common.names import did_you_mean
from gandiff.common.run_record import RECORD
from gandiff.experiments.config.paths import WEIGHTS, shipped_comparisons, shipped_weights
from gandiff.experiments.config.yaml_source import parse_document
from gandiff.experiments.plugins.registry import generator_types
from gandiff.models.diffusion.folders import holds_gan, holds_models
from gandiff.models.diffusion.parts import INDEX

Kind = Literal["model", "folder", "pipeline"]

_SETTING = re.compile(r",(?=\s*\w+\s*=)")  # a comma inside of a value is not followed by NAME=


def read_model(text: str, kind: Kind = "model") -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """Read ``TARGET[,SETTING=VALUE...]``, values as YAML: the target, the generator type, the
    settings that the target stands for, and those that were written.

    A target of the kind ``model`` is, in this order: the name of shipped weights, a generator type,
    a folder (a GAN, a diffusers pipeline, or images), ``module:factory``, or a pipeline's id on the
    hub. The other kinds are folders of images, and pipelines by folder, file or hub id. Shipped
    weights have the settings that they have in the shipped comparison. Paths start from the working
    directory; whether they are there is not looked at. Raises ``RequestError``.
    """
    target, *assignments = (part.strip() for part in _SETTING.split(text))
    if kind == "model":
        type_, settings = _meaning(target)
    elif kind == "folder":
        type_, settings = "folder", {"folder": target}
    else:
        type_, settings = "diffusers", _pipeline(target)
    written: dict[str, Any] = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        field = parse_document(f"value: {value.strip()}", f"model {text!r}: {name.strip()}")
        written[name.strip()] = field.data["value"]
    return target, type_, settings, written


def without_setting(text: str, name: str) -> str:
    """``TARGET[,SETTING=VALUE...]`` without one of its settings."""
    target, *assignments = _SETTING.split(text)
    kept = [one for one in assignments if one.partition("=")[0].strip() != name]
    return ",".join([target, *kept])


def _meaning(target: str) -> tuple[str, dict[str, Any]]:
    """The generator type and the settings that a target stands for."""
    shipped, types, path = shipped_weights(), generator_types(), expanded(target)
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


def _pipeline(target: str) -> dict[str, Any]:
    shipped = shipped_weights().get(target)
    return {"pipeline": target} if shipped is None else _shipped(target, shipped)[1]


def _of_folder(folder: Path, name: str) -> tuple[str, dict[str, Any]]:
    if (folder / RECORD).is_file():
        raise RequestError(
            f"{name} is a run folder; must be a model, such as one that {name}/comparison.yaml "
            "names (two runs are compared by: gandiff compare RUN_A RUN_B)"
        )
    best = folder / "best"  # of a training, which may not have finished
    if holds_gan(folder) or holds_gan(best):
        return "gan", {"weights": name}
    if (best / INDEX).is_file() and not (folder / INDEX).is_file():
        return "diffusers", {"pipeline": f"{name}/best"}
    if holds_models(folder):  # which says what it is where it is no pipeline
        return "diffusers", {"pipeline": name}
    return "folder", {"folder": name}
