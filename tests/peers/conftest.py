"""Two folders of pictures and one set of random weights, which every package is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

COUNT = 14


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_toy_inception(tmp_path_factory.mktemp("peers") / "inception.pth")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Blurred noise, in the second folder brighter."""
    root = tmp_path_factory.mktemp("pictures")
    for name, brightness in (("made", 0), ("real", 25)):
        (root / name).mkdir()
        for i in range(COUNT):
            rng = np.random.default_rng(1000 * brightness + i)
            coarse = rng.integers(brightness, 256, (9, 9, 3), dtype=np.uint8)
            smooth = np.asarray(Image.fromarray(coarse).resize((80, 64), Image.Resampling.BICUBIC))
            noisy = smooth + rng.normal(0, 8, smooth.shape)
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(
                root / name / f"{i:02d}.png"
            )
    return root / "made", root / "real"
