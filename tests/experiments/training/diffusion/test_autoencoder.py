"""How the autoencoder shares its batch between processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import request, small_diffusion

from gandiff.experiments.data.captioned import SceneImages
from gandiff.experiments.training.diffusion.autoencoder import AutoencoderTrainer
from gandiff.experiments.training.ranks import Ranks


@pytest.mark.parametrize(("batch", "processes", "size"), [(64, 2, 32), (4, 2, 4), (80, 40, 40)])
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
