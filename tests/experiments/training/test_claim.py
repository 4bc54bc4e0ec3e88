"""A training's output folder is its own: nothing of others is overwritten, nobody else writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.common.errors import RequestError
from gandiff.common.lock import HOLDER, LOCK
from gandiff.experiments.cli import main
from gandiff.experiments.training import sweep
from gandiff.experiments.training.checkpoints import CHECKPOINT, clear_training, write_checkpoint
from gandiff.experiments.training.claim import claim, is_training
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.judges import train as judges

pytestmark = pytest.mark.usefixtures("empty_folder")
KINDS = ("gan", "diffusion", "text", "judges")
LOCKS = (LOCK, HOLDER)
OURS = {"label": "GAN", "progress": {"images": 0}, "state": {}}


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder, locks left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in LOCKS)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def put(folder: Path, name: str, content: bytes = b"mine") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where a GAN was asked for; none is trained."""
    folders: list[Path] = []
    monkeypatch.setattr(gan, "train", lambda asked, *_: folders.append(asked.out))
    return folders


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "config.json",
        "training.json",
        "samples/truncation.png",
        "checkpoint.pt",
        "a.py",
    ],
)
def test_a_folder_of_others_is_refused(
    capsys: pytest.CaptureFixture[str], kind: str, name: str
) -> None:
    put(Path("project"), name)
    before = tree(Path("project"))
    for more in ([], ["--resume"], *([["--sweep", "gamma=1,2"]] if kind == "gan" else [])):
        assert main(["train", kind, "--out", "project", *more]) == 2
        assert capsys.readouterr().err == (
            f"error: project/{name} was not written by a training of gandiff, which overwrites "
            "nothing of others; choose another --out, or insist with --overwrite\n"
        )
    assert tree(Path("project")) == before


@given(
    st.dictionaries(
        st.sampled_from(["README.md", "training.json", "config.json", "checkpoint.pt", "z", "d/e"]),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([{}, {"images": 3, "seconds": 2}, {"command": "x"}, [1]]).map(
                lambda value: json.dumps(value).encode()
            ),
        ),
        min_size=1,
    )
)
def test_whatever_others_wrote_stays(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            put(Path(folder), name, content)
        with pytest.raises(RequestError, match="not written by"), claim(Path(folder)):
            raise AssertionError("it must not come here")
        assert tree(Path(folder)) == files


def test_the_data_folder_is_no_place_for_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    put(Path("hf"), "metadata.jsonl", b'{"file_name": "a.png", "text": "a"}')
    put(Path("hf"), "README.md", b"the card of the data")
    assert main(["train", "gan", "--data", "hf", "--out", "hf"]) == 2
    assert "hf/README.md was not written by a training of gandiff" in capsys.readouterr().err
    assert Path("hf/README.md").read_bytes() == b"the card of the data"


@pytest.mark.parametrize("place", ["empty", "new/deep", "hidden"])
def test_an_empty_folder_is_free(place: str, trained: list[Path]) -> None:
    Path("empty").mkdir()
    put(Path("hidden"), ".gitkeep", b"")
    assert main(["train", "gan", "--out", place]) == 0
    assert trained == [Path(place)]
    # Nothing was written, so nothing is left.
    assert sorted(map(str, Path().rglob("*"))) == ["empty", "hidden", "hidden/.gitkeep"]


def test_insisting_overwrites(trained: list[Path]) -> None:
    put(Path("project"), "README.md")
    put(Path("project"), CHECKPOINT, b"no checkpoint of ours")
    assert main(["train", "gan", "--out", "project", "--overwrite"]) == 0
    assert trained == [Path("project")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("training.json", {"command": "gandiff train gan", "images": 3, "seconds": 0.1}),
        ("text_training.json", {"images": 3, "seconds": 0.1, "validation": {}}),
        (CHECKPOINT, OURS),
    ],
)
def test_trainings_of_older_versions_are_known(
    name: str, content: dict[str, object], trained: list[Path]
) -> None:
    for folder in (Path("old"), Path("sweep/gamma=1")):
        folder.mkdir(parents=True)
        if name == CHECKPOINT:
            write_checkpoint(folder / name, content)
        else:
            put(folder, name, json.dumps(content).encode())
        assert is_training(folder)
    assert main(["train", "gan", "--out", "old"]) == 0
    assert main(["train", "gan", "--out", "sweep/gamma=1"]) == 0
    with claim(Path("sweep"), [Path("sweep/gamma=1"), Path("sweep/gamma=2")]):
        pass


def test_a_card_that_somebody_else_wrote_stays(
    capsys: pytest.CaptureFixture[str], trained: list[Path]
) -> None:
    write_checkpoint(make("out") / CHECKPOINT, OURS)
    put(Path("out"), "README.md", b"---\nlibrary_name: gandiff\n---\n")
    assert main(["train", "gan", "--out", "out"]) == 0
    put(Path("out"), "README.md", b"# My model")
    assert main(["train", "gan", "--out", "out", "--resume"]) == 2
    assert "out/README.md was not written by gandiff" in capsys.readouterr().err
    assert trained == [Path("out")]


def make(name: str) -> Path:
    Path(name).mkdir()
    return Path(name)


def test_a_second_training_leaves_the_pictures_of_others(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / CHECKPOINT, OURS)
    for name in ("kimg-000001.000.png", "reals.png", "mine.png"):
        put(tmp_path / "samples", name)
    clear_training(tmp_path)
    assert set(tree(tmp_path)) == {"samples/mine.png"}


HOLDS = """
import sys
from pathlib import Path
from gandiff.experiments.training.claim import claim
with claim(Path(sys.argv[1]), [Path(part) for part in sys.argv[2:]]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(*folders: str) -> Iterator[subprocess.Popen[str]]:
    """The folders are another process's; it is killed in the end."""
    command = [sys.executable, "-c", HOLDS, *folders]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["out"], ["gan"]),
        (["out"], ["gan", "--resume"]),
        (["out"], ["gan", "--overwrite"]),
        (["out"], ["gan", "--processes", "2"]),
        (["out"], ["diffusion"]),
        (["out"], ["text"]),
        (["out"], ["judges"]),
        (["out"], ["gan", "--sweep", "gamma=1,2"]),
        (["out/gamma=2"], ["gan", "--sweep", "gamma=1,2"]),
        (["out", "out/gamma=1"], ["gan", "--sweep", "gamma=3,4"]),
        (["out/scene-clip"], ["judges", "--resume"]),
    ],
)
def test_a_second_writer_is_refused(
    capsys: pytest.CaptureFixture[str], folders: list[str], words: list[str]
) -> None:
    with held(*folders) as process:
        for folder in map(Path, folders):
            write_checkpoint(folder / CHECKPOINT, OURS)
        before = tree(Path("out"))
        assert main(["train", *words, "--out", "out"]) == 2
        by = f"is being written by another process (id {process.pid}); wait for it to end"
        assert by in capsys.readouterr().err
        assert tree(Path("out")) == before


def test_a_trial_of_a_running_sweep_is_no_place_for_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with held("out", "out/gamma=1", "out/gamma=2") as process:
        assert main(["train", "gan", "--out", "out/gamma=2"]) == 2
        assert f"(id {process.pid})" in capsys.readouterr().err


def test_the_lock_of_a_killed_process_is_gone(trained: list[Path]) -> None:
    with held("out"):
        write_checkpoint(Path("out", CHECKPOINT), OURS)
    assert Path("out", HOLDER).is_file()
    assert main(["train", "gan", "--out", "out"]) == 0
    assert trained == [Path("out")]


def test_the_lock_is_held_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def look(asked: object, *_: object, **__: object) -> object:
        done = subprocess.run(
            [sys.executable, "-c", HOLDS, asked.out],  # type: ignore[attr-defined]
            capture_output=True,
            text=True,
        )
        said.append(done.stderr)
        return type("Swept", (), {"text": ""})

    monkeypatch.setattr(gan, "train", look)
    monkeypatch.setattr(judges, "train", look)
    monkeypatch.setattr(sweep, "sweep_recipes", look)
    for words in (["gan"], ["judges"], ["gan", "--sweep", "gamma=1,2"]):
        assert main(["train", *words, "--out", "out"]) == 0
    assert [f"(id {os.getpid()})" in one for one in said] == [True] * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_is_no_folder(capsys: pytest.CaptureFixture[str], kind: str, out: str) -> None:
    Path("file").touch()
    assert main(["train", kind, "--out", out]) == 2
    assert "file is a file; give a folder" in capsys.readouterr().err
