"""What a directory holds that is not a pipeline, and what to do with it; imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.parts import INDEX, PICKLES, WEIGHTS

GAN = "gandiff.gan"  # what the configuration of one says
_WHOLE = "give the folder of the whole pipeline"
# What a class of diffusers is, by the start or a part of its name, and what to do.
_NETWORKS = {
    "ControlNet": ("a ControlNet", f"{_WHOLE} in pipeline, and this one in controlnet"),
    "Adapter": ("an adapter", "which needs a pipeline and an image; gandiff makes images of text"),
    "Autoencoder": ("an autoencoder", f"which is one part of a pipeline; {_WHOLE}"),
    "Scheduler": ("a scheduler", f"which is one part of a pipeline; {_WHOLE}"),
    "UNet": ("a single network", f"{_WHOLE} in pipeline, and this one in unet"),
    "Transformer": ("a single network", f"{_WHOLE} in pipeline, and this one in transformer"),
}


def no_pipeline(directory: Path) -> GeneratorError:
    """The error for a directory without a ``model_index.json``, which says what it is instead."""
    held = next(_descriptions(directory), None)
    if held is None:
        held = "expected a directory saved by the save_pretrained of diffusers"
    return GeneratorError(f"{directory} has no {INDEX}{held if held[0] == ':' else f'; {held}'}")


def holds_gan(directory: Path) -> bool:
    """Whether it holds a GAN of gandiff."""
    return _read(directory / "config.json").get("model") == GAN


def holds_models(directory: Path) -> bool:
    """Whether it holds a pipeline, or other weights that have nothing to do with pictures."""
    return (directory / INDEX).is_file() or next(_descriptions(directory), None) is not None


def _descriptions(directory: Path) -> Iterator[str]:
    """What the directory is, the surest first."""
    if (directory / f"modular_{INDEX}").is_file():
        yield (
            f": it holds a modular pipeline (modular_{INDEX}), which gandiff does not run; "
            f"give one with a {INDEX}"
        )
    inside = sorted([*directory.glob(f"snapshots/*/{INDEX}"), *directory.glob(f"*/{INDEX}")])
    if inside:
        yield f": the pipeline lies further inside; give {inside[-1].parent}"
    config = _read(directory / "config.json") or _read(directory / "scheduler_config.json")
    files = sorted(directory.iterdir())
    weights = [
        p for p in files if p.suffix in (*WEIGHTS, *PICKLES) and not p.name.startswith("checkpoint")
    ]
    lora = next((p for p in weights if _is_lora(p)), None)
    if lora is not None or (directory / "adapter_config.json").is_file():
        name = f"a LoRA ({lora.name})" if lora else "a LoRA (adapter_config.json)"
        yield (
            f": it holds {name}, which changes a pipeline; give the pipeline's own folder, and "
            "this one in loras"
        )
    if (directory.parent / INDEX).is_file():
        yield f": it is a part of a pipeline; give {directory.parent}"
    yield from _of_config(config)
    if weights:
        yield (
            f": it holds the single file {weights[0].name}; if that is a whole model, give the "
            "path of the file"
        )


def _of_config(config: dict[str, Any]) -> Iterator[str]:
    """What the configuration of a network says of it."""
    if config.get("model") == GAN:
        yield ": it holds a GAN of gandiff; write type: gan and weights: in place of pipeline"
    kind = str(config.get("_class_name", ""))
    for word, (what, advice) in _NETWORKS.items():
        if word in kind:
            yield f": it holds {what} ({kind}), {advice}"
    if kind:
        yield f": it holds a single part of a pipeline ({kind}); {_WHOLE}"
    if names := config.get("architectures") or config.get("model_type"):
        name = names[0] if isinstance(names, list) else names
        yield f": it holds a model of transformers ({name}), not a pipeline of diffusers; {_WHOLE}"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; whatever cannot be read says nothing."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_lora(path: Path) -> bool:
    """Whether weights are those of a LoRA, by the names of its tensors."""
    if path.suffix not in WEIGHTS:
        return path.name.startswith("pytorch_lora_weights")
    try:
        with path.open("rb") as stream:
            header = stream.read(int.from_bytes(stream.read(8), "little"))
        names = json.loads(header)
    except (OSError, ValueError, OverflowError, MemoryError):
        return False
    return any("lora" in str(name).lower() for name in names if name != "__metadata__")
