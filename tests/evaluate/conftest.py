"""Features that are given and image files made on the spot: no test of a metric needs a network."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gandiff.evaluate.features.cache import TextFeatures
from gandiff.evaluate.features.encoders import TextBatch
from gandiff.evaluate.metric import ImageRecord, MetricInput

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16,
        },
        "text_cfg": {
            "context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}  # fmt: skip
LABELS = {
    "shape": ["star", "ring"],
    "colour": ["red", "blue"],
    "size": ["small", "large"],
    "background": ["white", "sand"],
    "relation": ["left of", "right of"],
}


class GivenFeatures(TextFeatures):
    """Features as a table from an image's sha256 and from a prompt."""

    def __init__(
        self, table: Mapping[str, np.ndarray], texts: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self._table = table
        self._texts = dict(texts or {})

    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> np.ndarray:
        return np.stack([self._table[image.sha256] for image in images]).astype(np.float32)

    def protocol(self, encoder: str) -> dict[str, Any]:
        return {"encoder": encoder, "weights_sha256": "0", "resize": "none", "crop": "none"}

    def texts(self, encoder: str, prompts: Sequence[str]) -> TextBatch:
        rows = np.stack([self._texts[prompt] for prompt in prompts]).astype(np.float32)
        return TextBatch(features=rows, truncated=np.array([len(p) > 20 for p in prompts]))


def _make_records(rows: np.ndarray, groups: Sequence[str], prefix: str) -> list[ImageRecord]:
    return [
        ImageRecord(path=Path(f"{prefix}{i}.png"), sha256=f"{prefix}{i}", group=group, prompt=group)
        for i, (_, group) in enumerate(zip(rows, groups, strict=True))
    ]


def _make_input(
    rows: np.ndarray,
    reference: np.ndarray | None = None,
    matched: np.ndarray | None = None,
    *,
    per_prompt: int = 1,
    texts: Mapping[str, np.ndarray] | None = None,
) -> MetricInput:
    """Features as images of prompts p0, p1, ...; each prompt has ``per_prompt`` images in a row."""

    def groups(n: int) -> list[str]:
        return [f"p{i // per_prompt}" for i in range(n)]

    sets = {"g": rows, "r": reference, "m": matched}
    table = {
        f"{prefix}{i}": row
        for prefix, values in sets.items()
        if values is not None
        for i, row in enumerate(values)
    }

    def records(prefix: str) -> list[ImageRecord] | None:
        values = sets[prefix]
        return None if values is None else _make_records(values, groups(len(values)), prefix)

    return MetricInput(
        images=records("g") or [],
        reference=records("r"),
        matched=records("m"),
        features=GivenFeatures(table, texts),
    )


@pytest.fixture
def make_input() -> Callable[..., MetricInput]:
    """A metric's input from arrays of features."""
    return _make_input


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., ImageRecord]:
    """Write an image file and describe it."""

    def write(name: str, image: Image.Image | np.ndarray, **fields: Any) -> ImageRecord:
        path = tmp_path / name
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image.save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return ImageRecord(path=path, sha256=sha256, group=fields.pop("group", name), **fields)

    return write


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights, as open_clip saves one."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tiny-clip")
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**CLIP_CONFIG["model_cfg"])
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny scene classifier with random weights."""
    import torch
    from safetensors.torch import save_file

    from gandiff.evaluate.extractors.scenes import SceneClassifierNet, heads_of

    folder = tmp_path_factory.mktemp("tiny-judge")
    heads = heads_of(LABELS)
    config = {"design": "plain", "width": 8, "features": 12, "heads": heads, "labels": LABELS}
    torch.manual_seed(0)
    save_file(SceneClassifierNet("plain", 8, 12, heads).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder
