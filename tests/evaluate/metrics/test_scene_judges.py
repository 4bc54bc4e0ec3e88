"""The scene judges: what they say of pictures, and folders that hold none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gandiff.common.errors import MetricError
from gandiff.evaluate.extractors.scenes import (
    SceneClassifier,
    SceneClassifierNet,
    heads_of,
    load_classifier,
    to_input,
)

LABELS = {
    "shape": ["circle", "star", "ring"],
    "colour": ["red", "blue"],
    "size": ["small", "large"],
    "background": ["white", "black"],
    "relation": ["left of", "right of", "above", "below"],
}


def pictures(n: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)


def logits(label: int, classes: int) -> np.ndarray:
    return -((np.arange(classes) - label) ** 2)[None].astype(np.float32)


@pytest.fixture
def judge(judge_folder: Path) -> SceneClassifier:
    made = load_classifier(str(judge_folder))
    made.labels = LABELS
    return made


def read(judge: SceneClassifier, **chosen: int) -> dict[str, object]:
    """What the judge says when each head is sure of one class."""
    heads = heads_of(LABELS)
    assert set(chosen) == set(heads)
    (found,) = judge._read({name: logits(label, heads[name]) for name, label in chosen.items()})
    return found


def test_heads_hold_a_class_for_what_is_not_there() -> None:
    assert heads_of(LABELS) == {
        "count": 2,
        "background": 2,
        "relation": 5,
        **{"shape_0": 3, "shape_1": 4, "colour_0": 2, "colour_1": 3, "size_0": 2, "size_1": 3},
    }


def test_one_object_has_no_relation(judge: SceneClassifier) -> None:
    first = {"shape_0": 1, "colour_0": 0, "size_0": 1}
    absent = {"shape_1": 3, "colour_1": 2, "size_1": 2, "relation": 4}
    assert read(judge, count=0, background=1, **first, **absent) == {
        "count": 1,
        "background": "black",
        "objects": [{"shape": "star", "colour": "red", "size": "large"}],
        "relation": None,
    }


def test_two_objects_and_their_relation(judge: SceneClassifier) -> None:
    first = {"shape_0": 0, "colour_0": 1, "size_0": 0}
    second = {"shape_1": 2, "colour_1": 0, "size_1": 1, "relation": 2}
    assert read(judge, count=1, background=0, **first, **second) == {
        "count": 2,
        "background": "white",
        "objects": [
            {"shape": "circle", "colour": "blue", "size": "small"},
            {"shape": "ring", "colour": "red", "size": "large"},
        ],
        "relation": "above",
    }


def test_a_second_object_that_is_counted_gets_the_likeliest_names(judge: SceneClassifier) -> None:
    first = {"shape_0": 0, "colour_0": 1, "size_0": 0}
    absent = {"shape_1": 3, "colour_1": 2, "size_1": 2, "relation": 4}
    found = read(judge, count=1, background=0, **first, **absent)
    assert found["objects"][1] == {"shape": "ring", "colour": "blue", "size": "large"}
    assert found["relation"] == "below"


@pytest.mark.parametrize("design", ["plain", "residual"])
def test_each_picture_is_judged_alone(design: str, tmp_path: Path, judge_folder: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = json.loads((judge_folder / "config.json").read_text()) | {"design": design}
    net = SceneClassifierNet(design, 8, 12, config["heads"])
    net(torch.randn(16, 3, 32, 32))  # batch norm has seen something
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    judge = load_classifier(str(tmp_path))
    images = pictures(7)
    together = judge.features(images)
    assert together.shape == (7, 12)
    assert together.dtype == np.float32
    for size in (1, 3):
        np.testing.assert_allclose(judge.features(images, batch=size), together, atol=1e-5)
    assert judge.predict(images, batch=2) == judge.predict(images)


def test_no_pictures(judge: SceneClassifier) -> None:
    assert judge.features(pictures(0)).shape == (0, 12)
    assert judge.predict(pictures(0)) == []


def test_pictures_of_any_size_are_seen_at_32_px() -> None:
    flat = np.full((2, 48, 80, 3), 51, np.uint8)
    seen = to_input(flat)
    assert seen.shape == (2, 3, 32, 32)
    torch.testing.assert_close(seen, torch.full_like(seen, -0.6), rtol=0, atol=1e-5)
    exact = to_input(pictures(2))
    assert (exact.min(), exact.max()) == (-1, 1)


def test_the_checksum_is_that_of_the_weights(judge_folder: Path) -> None:
    import hashlib

    wanted = hashlib.sha256((judge_folder / "model.safetensors").read_bytes()).hexdigest()
    assert load_classifier(str(judge_folder)).sha256 == wanted


def damage_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        r"lacks model\.safetensors; train it with: gandiff train judges",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"lacks config\.json; train"),
    "no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        "config.json cannot be read: it is not valid JSON",
    ),
    "no labels": (lambda folder: damage_config(folder, labels=None), "KeyError: 'labels'"),
    "no such design": (lambda folder: damage_config(folder, design="deep"), "KeyError: 'deep'"),
    "other weights": (lambda folder: damage_config(folder, features=9), "size mismatch"),
    "half a file": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x10\0\0\0"),
        "model.safetensors cannot be read: it is not a whole file",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_folders_that_hold_no_judge_are_refused(
    judge_folder: Path, tmp_path: Path, case: str
) -> None:
    folder = Path(shutil.copytree(judge_folder, tmp_path / "judge"))
    harm, says = BROKEN[case]
    harm(folder)
    with pytest.raises(MetricError, match=says) as refused:
        load_classifier(str(folder))
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_judge_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"there is no scene judge at .*gone; train one with"):
        load_classifier(str(tmp_path / "gone"))
