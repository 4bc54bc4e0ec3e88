"""What a run reads from outside of its folder decides whether its results are still valid."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from run_helpers import write_comparison

from gandiff.experiments import api

COUNT = 6
QUICK: dict[str, Any] = {
    "timing": {"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    "report": {"gallery_prompts": 1, "trace_prompts": 0},
}


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8))


def pictures(folder: Path, seed: int, names: list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names or [f"{n + 1:05d}_0.png" for n in range(COUNT)]):
        picture(seed + i).save(folder / name)


def comparison(tmp_path: Path, **changes: Any) -> Path:
    pictures(tmp_path / "mj", 0)
    pictures(tmp_path / "real", 100)
    chosen = {
        "generators": {"mj": {"type": "folder", "folder": "mj"}},
        "reference": {"folder": "real"},
        "metrics": ["fd(encoder=scenes)"],
        "samples_per_prompt": 1,
        **QUICK,
        **changes,
    }
    return write_comparison(tmp_path, COUNT, **chosen)


def values(folder: Path) -> dict[tuple[str, str], float]:
    table = pd.read_parquet(folder / "results.parquet")
    table = table[~table.metric.str.endswith(("_seconds", "_bytes", "_second"))]
    return {(row.generator, row.metric): row.value for row in table.itertuples()}


def run(file: Path, out: str = "run") -> api.RunSummary:
    return api.run(file, out=file.parent / out, until="score", quiet=True)


def age(*folders: Path) -> None:
    """Let all files be older than the two seconds in which they are hashed again."""
    past = time.time() - 60
    for folder in folders:
        for path in folder.rglob("*"):
            os.utime(path, (past, past))


def test_pictures_that_were_replaced_are_measured(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    first = run(file)
    assert first.warnings == []
    before = values(first.folder)
    pictures(tmp_path / "mj", 50)
    again = run(file)
    assert values(again.folder) == values(run(file, "fresh").folder) != before
    assert again.warnings == [
        "mj: 6 pictures have changed since they were read (00001_0.png, 00002_0.png, "
        "00003_0.png, ...)"
    ]
    assert run(file).warnings == []
