"""Captions as COCO publishes them."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image


def picture(i: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A flat colour that tells which picture it is; size is width, height."""
    return Image.new("RGB", size, (40 * i % 256, 255 - 40 * i % 256, 7))


def coco(folder: Path, images: int = 4) -> Path:
    """The JSON file of captions, two for each picture; the pictures lie where COCO has them."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    for i in range(images):
        picture(i).save(folder / "val2017" / f"{i:012d}.jpg")
    content = {
        "images": [{"id": 10 + i, "file_name": f"{i:012d}.jpg"} for i in range(images)],
        "annotations": [
            {"id": 2 * i + k, "image_id": 10 + i, "caption": f"caption {k} of {i}"}
            for i in range(images)
            for k in (0, 1)
        ],
    }
    path = folder / "annotations" / "captions_val2017.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
