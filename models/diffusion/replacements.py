"""Put another U-Net or transformer into a pipeline: a file of weights, or a network of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.words import with_article
from gandiff.models.diffusion.additions import config_of
from gandiff.models.diffusion.hub import first_line
from gandiff.models.diffusion.parts import pickled
from gandiff.models.diffusion.source import Source


def read_network(source: Source, options: dict[str, Any]) -> Any:
    """Read the network of a directory or a hub id, whose config says what it is."""
    import diffusers

    if source.directory is None:
        options = {**options, "revision": source.commit}
    kind = str(read_json(config_of(source), GeneratorError).get("_class_name"))
    cls: Any = getattr(diffusers, kind, None)
    if cls is None:
        raise GeneratorError(
            f"{source.name} holds {with_article(kind)}, which this diffusers does not have"
        )
    return cls.from_pretrained(source.name, **options)


def network_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of the options of a pipeline's ``from_pretrained`` that of a network takes."""
    taken = ("dtype", "use_safetensors", "variant", "local_files_only")
    return {key: options[key] for key in taken}


def put_weights(pipe: Any, name: str, file: Path, *, allow_pickle: bool) -> None:
    """Replace all weights of the network ``name`` by those of a file, in the layout of diffusers or
    of the model's authors.

    Raises ``GeneratorError`` unless each weight of the network is in the file and the reverse.
    """
    check_has_network(pipe, name)
    network = pipe.components[name]
    state = _read(file, allow_pickle)
    own = network.state_dict()
    if not own.keys() & state.keys() and hasattr(type(network), "from_single_file"):
        state = _converted(network, state, file)
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        lacks = f"lacks {len(missing)} of its {len(own)} weights ({missing[0]})" if missing else ""
        more = f"has {len(unexpected)} that it has not ({unexpected[0]})" if unexpected else ""
        raise GeneratorError(
            f"{file} does not fit the {name} ({type(network).__name__}): it "
            f"{' and '.join(filter(None, [lacks, more]))}"
        )
    for key, weight in own.items():
        if weight.shape != state[key].shape:
            raise GeneratorError(
                f"{file} does not fit the {name} ({type(network).__name__}): {key} has the shape "
                f"{tuple(state[key].shape)} and must have {tuple(weight.shape)}"
            )
    network.load_state_dict(state)


def check_has_network(pipe: Any, name: str) -> None:
    """Raise ``GeneratorError`` unless a pipeline has a network called ``name``: diffusers drops a
    network that it is given for another name without a word.
    """
    if isinstance(pipe.components.get(name), torch.nn.Module):
        return
    others = [n for n in ("unet", "transformer") if pipe.components.get(n) is not None]
    instead = f"; its network is the {others[0]}" if others else ""
    raise GeneratorError(f"{type(pipe).__name__} has no {name}{instead}")


def _read(file: Path, allow_pickle: bool) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        if not allow_pickle:
            raise pickled(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except GeneratorError:
        raise
    except Exception as error:  # every file format has errors of its own
        raise GeneratorError(f"{file} cannot be read: {first_line(error)}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise GeneratorError(f"{file} holds a {type(state).__name__}, not weights by name")
    return state


def _converted(network: Any, state: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """Weights in the layout of the model's authors by the names of diffusers."""
    import tempfile

    try:
        with tempfile.TemporaryDirectory() as folder:
            network.save_config(folder)
            made = type(network).from_single_file(state, config=folder, local_files_only=True)
    except Exception as error:  # every format has errors of its own
        raise GeneratorError(
            f"{file} holds no weights of {with_article(type(network).__name__)}: "
            f"{first_line(error)}"
        ) from error
    gaps = [name for name, weight in made.state_dict().items() if weight.is_meta]
    if gaps:
        raise GeneratorError(
            f"{file} lacks {len(gaps)} weights of {with_article(type(network).__name__)}, "
            f"such as {gaps[0]}"
        )
    return dict(made.state_dict())
