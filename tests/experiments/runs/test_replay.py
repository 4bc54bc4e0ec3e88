from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_helpers import log_lines, write_comparison

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run
from gandiff.experiments.runs.replay import replay


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = write_comparison(tmp_path, prompts=["a", "BLACK b", "c"])
    with open_run(load_comparison(file), tmp_path / "run") as run:
        generate_images(run, quiet=True)
    return tmp_path / "run"


def files(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_image_can_be_made_again_and_nothing_is_written(folder: Path) -> None:
    before = files(folder)
    for line in log_lines(folder):
        again = replay(folder, line["key"])
        assert again.same, again
        assert (again.seed, again.prompt_id) == (line["seed"], line["prompt_id"])
        assert str(again).startswith("the same: ")
    assert files(folder) == before


def test_the_beginning_of_a_key_will_do(folder: Path) -> None:
    key = log_lines(folder)[0]["key"]
    assert replay(folder, key[:12]).key == key
    with pytest.raises(RequestError, match="no image with the key ''"):
        replay(folder, "")
    with pytest.raises(RequestError, match="has no image with the key 'nothing'"):
        replay(folder, "nothing")


def test_another_outcome_is_told(folder: Path) -> None:
    line = next(e for e in log_lines(folder) if e["path"])
    path = folder / line["path"]
    path.write_bytes(path.read_bytes() + b" ")
    assert "was changed since it was made" in str(replay(folder, line["key"]))

    image = np.asarray(Image.open(path)).copy()
    image[0, 0, 0] ^= 4
    Image.fromarray(image).save(path)
    import hashlib

    log = folder / "images.jsonl"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    log.write_text(log.read_text().replace(line["sha256"], sha256))
    again = replay(folder, line["key"])
    assert not again.same
    assert again.max_difference == 4
    assert again.different_values == pytest.approx(1 / image.size)
    assert "by up to 4 levels of 255" in str(again)
    path.unlink()
    assert "cannot be read" in str(replay(folder, line["key"]))
