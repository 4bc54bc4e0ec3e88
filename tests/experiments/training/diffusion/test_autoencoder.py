"""What trains the autoencoder, and how it shares its batch between processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_helpers import request, small_diffusion

from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.training.diffusion.autoencoder import AutoencoderTrainer
from gandiff.experiments.training.diffusion.recipe import Optimizer
from gandiff.experiments.training.muon import Together
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.request import Precision


@pytest.mark.parametrize(("batch", "processes", "size"), [(64, 2, 16), (4, 2, 4), (80, 40, 40)])
def test_every_process_has_pictures_of_the_autoencoder(
    tmp_path: Path, batch: int, processes: int, size: int
) -> None:
    """One without would wait for gradients that it cannot add to."""
    asked = request(tmp_path, resolution=16, batch_size=batch, processes=processes)
    for rank in (0, processes - 1):
        ranks = Ranks(rank, processes)
        one = AutoencoderTrainer(asked, small_diffusion(), SceneImages(16), ranks)
        assert one.size == size
        assert min(len(Ranks(each, processes).shard(one.size)) for each in range(processes)) > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns_by_either_optimiser_and_number_format(
    tmp_path: Path, dtype: Precision, optimizer: Optimizer
) -> None:
    asked = request(tmp_path, resolution=16, batch_size=16, kimg=0.72, dtype=dtype)
    recipe = small_diffusion(autoencoder_optimizer=optimizer, factor=2, autoencoder_share=0.9)
    one = AutoencoderTrainer(asked, recipe, SceneImages(16), SINGLE_PROCESS)
    psnr_db = []
    for _ in range(40):
        images, logged = one.step()
        one.loop.progress.images += images
        one.loop.progress.steps += 1
        psnr_db.append(logged["psnr_db"])
    assert sum(psnr_db[:5]) / 5 + 1 < sum(psnr_db[-5:]) / 5
    assert all(weight.dtype == torch.float32 for weight in one.parameters)


def test_matrices_are_trained_by_muon_and_the_rest_by_adamw(tmp_path: Path) -> None:
    one = AutoencoderTrainer(
        request(tmp_path, resolution=16), small_diffusion(), SceneImages(16), SINGLE_PROCESS
    )
    optimizer = one.optimizer
    assert isinstance(optimizer, Together)
    held = [[p for g in part.param_groups for p in g["params"]] for part in optimizer.parts]
    assert sorted(map(id, [*held[0], *held[1]])) == sorted(map(id, one.vae.parameters()))
    assert {p.ndim > 1 for p in held[0]} == {True}
    assert {p.ndim > 1 for p in held[1]} == {False}
