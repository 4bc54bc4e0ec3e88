"""Building blocks of the tests of tasks: a comparison on prompts that bring pictures along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import toys
from PIL import Image
from run_helpers import TOYS

from gandiff.experiments.config.yaml_source import write_yaml

EDIT = f"{TOYS}:EditToy"
SIDE = 8  # px
COLUMNS = ("id", "prompt", "init_image", "mask", "control_image", "strength")


def write_pictures(folder: Path, count: int) -> None:
    """Save init images, masks and control images: ``init_image-0.png`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        for field, pixels in toys.edit_pictures(SIDE, i).items():
            Image.fromarray(pixels).save(folder / f"{field}-{i}.png")


def write_edits(
    place: Path, task: str, count: int = 5, rows: Sequence[Mapping[str, Any]] = (), **changes: Any
) -> Path:
    """Write pictures, prompts.csv and a comparison of one toy; ``rows`` replace cells."""
    write_pictures(place / "pictures", count)
    lines = [",".join(COLUMNS)]
    for i in range(count):
        cells: dict[str, Any] = {"id": f"p{i}", "prompt": f"a toy {i}", "strength": ""}
        cells |= {f: f"pictures/{f}-{i}.png" for f in ("init_image", "mask", "control_image")}
        cells |= rows[i] if i < len(rows) else {}
        lines.append(",".join(str(cells[column]) for column in COLUMNS))
    (place / "prompts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = {
        "suite": "prompts.csv",
        "task": task,
        "samples_per_prompt": 2,
        "batch_size": 4,
        "device": "cpu",
        "generators": {"toy": {"type": EDIT, "log": str(place / "toy.log")}},
        "metrics": [],
        **changes,
    }
    file = place / "edits.yaml"
    file.write_text(write_yaml(data), encoding="utf-8")
    return file
