"""Where the LoRAs and networks lie that settings put into a pipeline; light."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.files import expanded
from gandiff.common.hub_cache import HUB_ID
from gandiff.common.intact import check_intact
from gandiff.common.names import did_you_mean
from gandiff.models.diffusion.parts import INDEX, PICKLES, WEIGHTS, check_part, pickled
from gandiff.models.diffusion.places import is_single_file, local_folder
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.source_settings import Lora
from gandiff.models.weights import shipped_names

LORA_FILE = "pytorch_lora_weights.safetensors"  # as diffusers and peft save it
# What quantisation needs: the module that is imported and the package that has it.
_BACKENDS = {
    "bitsandbytes_4bit": ("bitsandbytes", "bitsandbytes"),
    "bitsandbytes_8bit": ("bitsandbytes", "bitsandbytes"),
    "torchao": ("torchao", "torchao"),
    "quanto": ("optimum.quanto", "optimum-quanto"),
}


def check_installed(settings: DiffusersSettings) -> None:
    """Raise ``GeneratorError`` for settings that need a package that is not there."""
    needed = {"loras": ("peft", "peft")} if settings.loras else {}
    if settings.quantization is not None:
        needed["quantization"] = _BACKENDS[settings.quantization.backend]
    for setting, (module, package) in needed.items():
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # of the package that it is in
            there = False
        if not there:
            raise GeneratorError(
                f"{setting} needs {module}, which is not installed: pip install {package}"
            )


def additions(settings: DiffusersSettings) -> dict[str, Source]:
    """Networks and LoRAs that are put into the pipeline, by the setting that names them."""
    looks: dict[str, Callable[[], Source]] = {}
    for name in ("unet", "transformer", "controlnet"):
        if (value := getattr(settings, name)) is not None:
            looks[name] = functools.partial(_network, name, value, settings)
    for number, lora in enumerate(settings.loras or ()):
        looks[f"loras.{number}"] = functools.partial(_lora, lora, settings)
    return dict(zip(looks, all_of(*looks.values()), strict=True))


def all_of(*looks: Callable[[], Any]) -> list[Any]:
    """What each gives; where some raise a ``GeneratorError``, one with the words of all."""
    seen, wrong = [], list[GeneratorError]()
    for look in looks:
        try:
            seen.append(look())
        except GeneratorError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise GeneratorError("; ".join(dict.fromkeys(map(str, wrong)))) from wrong[0]
    return seen


def _network(name: str, value: str, settings: DiffusersSettings) -> Source:
    directory = local_folder(value)
    if directory is not None:
        if (directory / INDEX).is_file():
            inside = directory / name
            one = f"its folder {inside}" if inside.is_dir() else f"the folder of a {name}"
            raise GeneratorError(f"{name}: {directory} is a whole pipeline; give {one}")
        check_part(directory, "diffusers", name, settings.allow_pickle, settings.variant)
        return Source(name=str(directory), directory=directory)
    if name == "controlnet" and not HUB_ID.fullmatch(value):
        raise GeneratorError(
            f"there is no ControlNet at {value!r}: give the path of a directory that holds its "
            "config.json and its weights, a hub id, or a shipped name"
            f"{did_you_mean(value, known) if (known := shipped_names(controlnets=True)) else ''}"
        )
    if is_single_file(value) or not HUB_ID.fullmatch(value):
        file = weights_file(value, settings.allow_pickle)
        return Source(name=str(file), file=file)
    from gandiff.models.diffusion.hub import hub_file

    kind = "ControlNet" if name == "controlnet" else "network"
    path = hub_file(value, "config.json", None, settings.local_files_only, kind)
    return Source(name=value, commit=path.parent.name)


def config_of(network: Source, part: str = "", *, local: bool = True) -> Path:
    """The file that says what the network of a directory or a hub id is, or the ``part`` of a
    pipeline; of a hub id it is in the cache unless ``local`` is false.
    """
    name = f"{part}/config.json" if part else "config.json"
    if network.directory is not None:
        return network.directory / name
    from gandiff.models.diffusion.hub import hub_file

    return hub_file(network.name, name, network.commit, local)


def _lora(lora: Lora, settings: DiffusersSettings) -> Source:
    directory = local_folder(lora.path)
    if directory is not None:
        files = sorted(f.name for f in directory.iterdir() if f.suffix in WEIGHTS)
        chosen = lora.file or (files[0] if len(files) == 1 else LORA_FILE)
        if not (directory / chosen).is_file():
            raise GeneratorError(
                f"the LoRA {directory} has no file {chosen}; it has "
                f"{', '.join(files) or 'no .safetensors file'}: name one as file"
            )
        file = weights_file(str(directory / chosen), settings.allow_pickle)
    elif is_single_file(lora.path) or not HUB_ID.fullmatch(lora.path):
        file = weights_file(lora.path, settings.allow_pickle)
    else:
        from gandiff.models.diffusion.hub import hub_file

        name = lora.file or LORA_FILE
        file = hub_file(lora.path, name, lora.revision, settings.local_files_only, "LoRA")
    return Source(name=str(file), file=file)


def weights_file(name: str, allow_pickle: bool) -> Path:
    """The file of weights of this name; raises ``GeneratorError`` unless it is there and whole."""
    file = expanded(name)
    if not file.is_file():
        raise GeneratorError(f"there is no file of weights at {name}")
    if file.suffix in PICKLES and not allow_pickle:
        raise pickled(file)
    check_intact([file], GeneratorError)
    return file
