"""Half of an encoder's files is refused by name, or gives the features of the whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.errors import MetricError
from gandiff.common.files import PACKAGE
from gandiff.evaluate.features.encoders import ImageTextExtractor, open_extractor

PRETRAINED = PACKAGE / "evaluate" / "pretrained"
KINDS = {"clip": "scene-clip", "scenes": "scene-classifier-a"}
IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"


def features(kind: str, folder: Path) -> np.ndarray:
    encoder = open_extractor(kind, {kind: str(folder)}, "cpu")
    rows = [encoder.features([IMAGE])]
    if isinstance(encoder, ImageTextExtractor):
        rows.append(encoder.texts(["a red star", "a blue ring"]).features)
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray]]:
    root = tmp_path_factory.mktemp("encoders")
    folders = {k: Path(shutil.copytree(PRETRAINED / n, root / n)) for k, n in KINDS.items()}
    return {kind: (folder, features(kind, folder)) for kind, folder in folders.items()}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_one_file_that_is_missing_or_torn(
    whole: dict[str, tuple[Path, np.ndarray]], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    folder, expected = whole[kind]
    file = data.draw(st.sampled_from(sorted(p for p in folder.rglob("*") if p.is_file())))
    content = file.read_bytes()
    kept = data.draw(st.none() | st.just(-1) | st.integers(0, len(content) - 1))
    try:
        file.unlink()
        if kept is not None:
            file.write_bytes(POINTER if kept == -1 else content[:kept])
        try:
            rows = features(kind, folder)
        except MetricError as error:
            refused = str(error)
        else:
            np.testing.assert_array_equal(rows, expected)
            return
        assert str(folder) in refused
        assert file.name in refused or "has no vocabulary" in refused
    finally:
        file.write_bytes(content)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("kind", "damage", "said"),
    [
        ("clip", remove("tokenizer.json"), "has no vocabulary (tokenizer.json"),
        ("clip", remove("open_clip_model.safetensors"), "holds no CLIP weights"),
        ("scenes", remove("config.json"), "lacks config.json"),
    ],
)
def test_what_lacks_is_named(
    kind: str, damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(PRETRAINED / KINDS[kind], tmp_path / "copy"))
    damage(folder)
    with pytest.raises(MetricError) as refused:
        features(kind, folder)
    assert said in str(refused.value)
    assert str(folder) in str(refused.value)
