"""Which settings of a diffusers pipeline name weights, and where those lie; light."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gandiff.common.files import expanded
from gandiff.common.hub_cache import HUB_ID
from gandiff.models.weights import find_weights, front_matter

FILE_ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")  # of weights in one file


def is_single_file(name: str | None) -> bool:
    """Whether a setting names one file of weights rather than a directory or a hub id."""
    return name is not None and os.path.splitext(name)[1].lower() in FILE_ENDINGS


def weight_places(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the settings that name weights by their place: ``prior``, ``loras.0.path``."""
    for key in ("pipeline", "prior", "config", "unet", "transformer", "controlnet"):
        if isinstance(value := settings.get(key), str):
            yield key, value
    if isinstance(path := settings.get("path"), str):  # of a LoRA
        yield "path", path
    for key in ("stages", "loras"):
        for number, item in enumerate(settings.get(key) or ()):
            if isinstance(item, str):  # as a user may write it, before it is checked
                yield f"{key}.{number}", item
                continue
            for place, value in weight_places(item):
                yield f"{key}.{number}.{place}", value


def prior_of(pipeline: str | None, prior: str | None) -> str | None:
    """The directory or hub id of the prior that belongs to a pipeline: the one that was given, else
    the one that the model card of a decoder on this machine names, which is where diffusers looks.
    """
    if prior is not None or pipeline is None:
        return prior
    directory = local_folder(pipeline)
    return None if directory is None else prior_in(directory / "README.md")


def prior_in(card: Path) -> str | None:
    """The prior that a decoder's model card names; None without a card, and where it names none."""
    named = front_matter(card).get("prior") if card.is_file() else None
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) else None


def local_folder(name: str) -> Path | None:
    """The directory on this machine that a setting names; None for any other.

    ``org/name`` is a hub id, whatever the working directory holds: the paths of a comparison file
    are absolute by the time that they are looked for.
    """
    return None if HUB_ID.fullmatch(name) else find_weights(name)


def local_path(name: str) -> Path | None:
    """The same, or a file."""
    path = None if HUB_ID.fullmatch(name) else find_weights(name) or expanded(name)
    return path if path is not None and path.exists() else None


def hub_ids_as_paths(settings: Mapping[str, Any], base: Path) -> str:
    """What to say of hub ids that may be meant as paths, where ``base`` is the folder that paths
    start from: it has a folder of the first name, or the working directory has them.
    """
    said = []
    for place, name in weight_places(settings):
        path, here = (base / name).absolute(), Path(name).absolute()
        if not HUB_ID.fullmatch(name) or path.exists():
            continue
        if here.exists():
            said.append(f"{place} as a path starts from {base.absolute()}; write {here}")
        elif path.parent.is_dir():
            names = sorted(one.name for one in path.parent.iterdir() if one.is_dir())
            holds = f"has {', '.join(names[:5])}" if names else "has no folders"
            said.append(f"{place} as a path: {path.parent} {holds}")
    return f" ({'; '.join(said)})" if said else ""
