"""Copies a trained pipeline with its weights stored as float16, at half the size.

    python -m gandiff.experiments.training.diffusion.halve runs/my-diffusion my-diffusion-fp16

The text encoder keeps its format: transformers 5 computes in that of the file, diffusers in float32
whatever the file's. Whether scores move is to be measured, as for any other model.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gandiff.common.errors import RequestError
from gandiff.experiments.training.claim import CARD
from gandiff.experiments.training.records import RECORD, TEXT_RECORD

_INDEX = "model_index.json"
_HALVED = ("unet", "vae")
_AS_THEY_ARE = (_INDEX, RECORD, TEXT_RECORD, CARD, "scheduler", "text_encoder", "tokenizer")
_CONFIG, _WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"


def halve(folder: Path, out: Path) -> None:
    """Write the pipeline of ``folder`` to ``out``, which must not exist.

    Raises ``RequestError`` for a folder without a whole pipeline, an ``out`` that is there, and
    weights that cannot be read or that float16 cannot hold.
    """
    if not (folder / _INDEX).is_file():
        raise RequestError(f"{folder} has no {_INDEX}, so it is not a trained diffusion model")
    if out.exists():
        raise RequestError(f"{out} exists already; name another folder")
    for path in (folder / part / name for part in _HALVED for name in (_CONFIG, _WEIGHTS)):
        if not path.is_file():
            raise RequestError(
                f"{path} is missing, so {folder} is no whole diffusion model; give the folder "
                "that 'gandiff train diffusion' wrote, or copy the file back"
            )
    halved = {part: _halved(folder / part / _WEIGHTS) for part in _HALVED}
    out.mkdir(parents=True)
    for name in _AS_THEY_ARE:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, out / name)
        elif (folder / name).is_file():
            shutil.copy(folder / name, out / name)
    for part, weights in halved.items():
        (out / part).mkdir()
        shutil.copy(folder / part / _CONFIG, out / part)
        save_file(weights, out / part / _WEIGHTS, metadata={"format": "pt"})


def _halved(path: Path) -> dict[str, torch.Tensor]:
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path} cannot be read ({error}); copy it again") from error
    weights = {name: value.half().contiguous() for name, value in stored.items()}
    for name, value in weights.items():
        if not value.isfinite().all():
            raise RequestError(f"{path}: {name} has numbers that float16 cannot hold")
    return weights


def main(argv: Sequence[str] | None = None) -> None:
    """Copy one folder."""
    parser = argparse.ArgumentParser(description="Store a diffusion model's weights as float16.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args(argv)
    try:
        halve(chosen.folder, chosen.out)
    except RequestError as error:
        parser.error(str(error))
    print(chosen.out)


if __name__ == "__main__":
    main()
