"""What a checkpoint says of the denoiser's architecture, so that another is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusion_helpers import RECIPE, trainer
from gan_helpers import run

from gandiff.common.errors import RequestError
from gandiff.experiments.training.checkpoints import CHECKPOINT


def test_a_large_denoiser_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    """Its last level had no attention."""
    recipe = dataclasses.replace(RECIPE, factor=1, channels=(8,))  # 16 x 16 latents
    run(trainer(tmp_path, recipe), 1)
    path = tmp_path / CHECKPOINT
    saved = torch.load(path, weights_only=False)
    assert saved["networks"].pop("last_level") == "attention"
    torch.save(saved, path)
    with pytest.raises(RequestError, match="last_level is nothing there and attention here"):
        trainer(tmp_path, recipe, resume=True)


def test_a_small_denoiser_is_what_it_was_in_earlier_versions(tmp_path: Path) -> None:
    assert "last_level" not in trainer(tmp_path).loop.networks
