from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gandiff.common.errors import GeneratorError
from gandiff.models import weights


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped generators with one in it, and an empty working folder."""
    folder = tmp_path / "pretrained"
    (folder / "gan-scenes").mkdir(parents=True)
    monkeypatch.setattr(weights, "PRETRAINED", folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_a_bare_name_is_a_shipped_generator_first(pretrained: Path) -> None:
    Path("gan-scenes").mkdir()
    assert weights.find_weights("gan-scenes") == pretrained / "gan-scenes"
    assert weights.find_weights("./gan-scenes") == Path("gan-scenes")
    assert weights.shipped_names() == ["gan-scenes"]


def test_a_name_is_a_directory_otherwise(pretrained: Path) -> None:
    Path("mine").mkdir()
    Path("file").write_text("")
    assert weights.find_weights("mine") == Path("mine")
    assert weights.find_weights("file") is None
    assert weights.find_weights("org/name") is None


def test_missing_weights_name_the_nearest(pretrained: Path) -> None:
    with pytest.raises(GeneratorError, match="no weights at 'gan-scene'") as caught:
        weights.require_weights("gan-scene")
    assert "did you mean 'gan-scenes'?" in str(caught.value)
    assert "Give the path of a directory" in str(caught.value)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_checksum_covers_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name / "unet" / "x.safetensors", "one")
        write(tmp_path / name / "vae" / "x.safetensors", "two")
        write(tmp_path / name / "README.md", name)
    first = weights.combined_sha256(tmp_path / "a")
    assert first == weights.combined_sha256(tmp_path / "b")
    write(tmp_path / "b" / "vae" / "x.safetensors", "owt")
    assert weights.combined_sha256(tmp_path / "b") != first
    (tmp_path / "c" / "vae").rename(tmp_path / "c" / "eav")
    assert weights.combined_sha256(tmp_path / "c") != first
    assert weights.combined_sha256(tmp_path / "c" / "unet" / "x.safetensors") is None


def test_the_checksum_sees_a_change_that_keeps_the_size(tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", "one")
    before = weights.combined_sha256(tmp_path)
    path.write_text("eno")
    os.utime(path, ns=(1, 1))
    assert weights.combined_sha256(tmp_path) != before


def test_a_card_is_read_from_both_files(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "---\nlicense: mit\nsource: here\n---\n# Title\n")
    assert weights.read_card(tmp_path) == weights.ModelCard(licence="mit", source="here")
    record = {"images": 5, "seconds": 1.5, "licence": "Apache-2.0"}
    write(tmp_path / "training.json", json.dumps(record))
    card = weights.read_card(tmp_path)
    assert card.training == record
    assert (card.licence, card.source) == ("Apache-2.0", "here")


@pytest.mark.parametrize("text", ["no front matter", "---\n: : [\n---\n", "---\njust text\n---\n"])
def test_a_card_that_says_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "README.md", text)
    assert weights.read_card(tmp_path) == weights.ModelCard()


def test_a_broken_training_record_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "training.json", "[1]")
    with pytest.raises(GeneratorError, match="holds list, expected a JSON object"):
        weights.read_card(tmp_path)
    path.write_text("{")
    with pytest.raises(GeneratorError, match=r"training\.json .* is not valid JSON"):
        weights.read_card(tmp_path)
