"""Paths of a comparison file start from its own folder, whatever the working directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.yaml_source import write_yaml
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.diffusion.places import local_folder, local_path, weight_places

# Each names the same place, which the folder of the file and the working directory both have.
NAMED: list[dict[str, Any]] = [
    {"pipeline": "a/b"},
    {"pipeline": "a/b", "prior": "a/b"},
    {"pipeline": "a/b", "unet": "a/b"},
    {"pipeline": "a/b", "transformer": "a/b"},
    {"pipeline": "a/b", "loras": ["a/b", {"path": "a/b"}]},
    {"pipeline": "a/b.safetensors", "config": "a/b"},
    {"stages": ["a/b", {"pipeline": "a/b", "loras": ["a/b"]}]},
]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a comparison file; the working directory has files of the same names."""
    for folder in (tmp_path / "file", tmp_path / "here"):
        (folder / "a" / "b").mkdir(parents=True)
        for name in ("b.safetensors", "prompts.txt", "weights.pth"):
            (folder / "a" / name).write_text(f"a prompt of {folder.name}\n")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "file"


def written(folder: Path, **fields: Any) -> Path:
    whole = {"suite": "a/prompts.txt", "metrics": [], **fields}
    (folder / "c.yaml").write_text(write_yaml(whole))
    return folder / "c.yaml"


@pytest.mark.parametrize("settings", NAMED, ids=lambda settings: "+".join(settings))
def test_weights_lie_relative_to_the_file(beside: Path, settings: dict[str, Any]) -> None:
    file = written(beside, generators={"x": {"type": "diffusers", **settings}})
    read = load_comparison(file).generators["x"].settings
    places = dict(weight_places(read))
    assert len(places) == str(settings).count("a/b")
    assert all(Path(path).is_relative_to(beside) for path in places.values())


def test_everything_else_lies_there_too(beside: Path) -> None:
    metrics = ["fd(encoder=dinov2:a/b)", "scene_accuracy(judge=a/b)", "fid"]
    file = written(
        beside,
        generators={"x": {"type": "folder", "folder": "a/b"}, "g": {"type": "gan", "weights": "a"}},
        reference={"folder": "a"},
        encoders={"inception": "a/weights.pth"},
        metrics=metrics,
    )
    read = load_comparison(file)
    assert read.generators["x"].settings["folder"] == str(beside / "a/b")
    assert read.generators["g"].settings["weights"] == str(beside / "a")
    assert read.reference is not None
    assert read.reference.folder == str(beside / "a")
    assert read.encoders == {"inception": str(beside / "a/weights.pth")}
    assert f"dinov2:{beside}/a/b" in read.metrics[0]
    assert f"judge={beside}/a/b" in read.metrics[1]
    assert read.folder == beside


def test_the_name_of_a_metric_stays_where_the_file_is_in_the_working_directory(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(beside)
    file = written(
        beside,
        generators={"x": {"type": "folder", "folder": "a/b"}},
        reference={"folder": "a"},
        metrics=["fd(encoder=dinov2:a/b)"],
    )
    assert load_comparison(file).metrics == ("fd(encoder=dinov2:a/b)",)


def test_what_the_working_directory_alone_has_is_not_taken(beside: Path) -> None:
    Path("a/only").mkdir()
    assert (local_folder("a/only"), local_path("a/only")) == (None, None)  # but a hub id
    file = written(beside, generators={"x": {"type": "diffusers", "pipeline": "a/only"}})
    settings = load_comparison(file).generators["x"].settings
    assert settings["pipeline"] == "a/only"
    with pytest.raises(RequestError) as caught:
        make_generator("x", "diffusers", {**settings, "local_files_only": True}, beside)
    assert f"as a path starts from {beside}; write {Path('a/only').absolute()}" in str(caught.value)
    file = written(
        beside,
        generators={"x": {"type": "folder", "folder": "a/b"}},
        reference={"folder": "a"},
        metrics=["fd(encoder=dinov2:a/only)"],
    )
    with pytest.raises(RequestError, match=r"metrics.*there is nothing at .*file/a/only; write /"):
        load_comparison(file)
