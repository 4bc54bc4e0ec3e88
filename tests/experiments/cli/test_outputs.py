"""Commands that write one file: refused before the work, and nothing of others is overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import typer
from disk_helpers import make_read_only, small_disk
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gandiff.common.grids import is_our_png, write_png
from gandiff.evaluate.features.stats_file import is_our_statistics
from gandiff.experiments.cli import app, main

pytestmark = pytest.mark.usefixtures("empty_folder")
ONE, TWO = "a red star", "a blue ring"
COMMANDS = {
    "truncation": (["explore", "truncation", ONE, "--weights", "gan"], "x.png"),
    "interpolate": (["explore", "interpolate", ONE, "--weights", "gan"], "x.png"),
    "mix": (["explore", "mix", ONE, TWO, "--weights", "gan"], "x.png"),
    "units": (
        ["explore", "units", "--weights", "gan", "--pictures", "64", "--units", "u.npz"],
        "x.png",
    ),
    "paint": (
        ["explore", "paint", ONE, "--units", "star", "--region", "0,0,9,9", "--weights", "gan"],
        "x.png",
    ),
    "draw": (["draw", ONE, "--model", "gan", "--no-open"], "x.png"),
    "stats": (["stats", "real", "--encoder", "scenes"], "x.npz"),
}
each_command = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture
def inputs(empty_folder: Path, toy_painter: Path) -> None:
    """What the commands work on: ``gan`` and ``real``."""
    Path("gan").symlink_to(toy_painter)
    Path("real").mkdir()
    for i in range(3):
        toys.toy_image(i).save(f"real/{i}.png")


def run(name: str, out: str = "", *more: str) -> int:
    words, usual = COMMANDS[name]
    return main([*words, "--quiet", "--out", out or usual, *more])


def foreign(out: Path) -> bytes:
    """Somebody's file of the right kind."""
    if out.suffix == ".npz":
        np.savez(out, mu=np.zeros(4), sigma=np.eye(4))
    else:
        toys.toy_image(0).save(out)
    return out.read_bytes()


@each_command
def test_files_of_others_stay(name: str, inputs: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(COMMANDS[name][1])
    before = foreign(out)
    assert run(name) == 2
    assert capsys.readouterr().err == (
        f"error: {out} was not written by gandiff, which overwrites nothing of others; choose "
        "another --out, or insist with --overwrite\n"
    )
    assert out.read_bytes() == before
    assert run(name, "", "--overwrite") == 0
    assert out.read_bytes() != before
    assert run(name) == 0  # it is ours now


def test_pictures_beside_a_drawing_stay(inputs: None, capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("x/1-gan/00001_0.png")
    mine.parent.mkdir(parents=True)
    before = foreign(mine)
    assert run("draw") == 2
    assert f"{mine} was not written by gandiff" in capsys.readouterr().err
    assert mine.read_bytes() == before
    assert not Path("x.png").exists()


def commands_with_an_output(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands_with_an_output(command, (*path, name))
    if any(one.name == "out" for one in group.params):
        yield " ".join(path)


def test_every_output_is_claimed() -> None:
    """A new command that writes has a place here, or in the tests of what claims its folder."""
    files = {" ".join(words[: 2 if words[0] == "explore" else 1]) for words, _ in COMMANDS.values()}
    trainings = {f"train {kind}" for kind in ("gan", "diffusion", "control", "text", "judges")}
    runs = {"run", "generate", "time", "score", "report", "compare-models"}
    other = {"init", "studio"}  # tests/experiments/start, tests/experiments/studio
    known = files | trainings | runs | other
    assert set(commands_with_an_output(typer.main.get_command(app))) == known


WRONG = {
    "e": "--out e: give a name ending in {suffix}",
    "e.jpg": "--out e.jpg: give a name ending in {suffix}",
    "real": "--out real is a folder; give a name ending in {suffix}",
    "folder{suffix}": "--out folder{suffix} is a folder; give a name ending in {suffix}",
    "file/x{suffix}": "--out file is a file; give a folder",
    "file/deep/x{suffix}": "--out file/deep: file is a file; give a folder",
}


@each_command
@pytest.mark.parametrize("out", WRONG)
def test_names_that_cannot_be_are_refused_before_the_work(
    name: str, out: str, inputs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = Path(COMMANDS[name][1]).suffix
    Path(f"folder{suffix}").mkdir()
    Path("file").touch()
    before = sorted(Path().rglob("*"))
    assert run(name, out.format(suffix=suffix)) == 2
    says = WRONG[out].format(suffix=suffix)
    shown = capsys.readouterr()
    assert (shown.out, says in shown.err.replace(str(Path.cwd()) + "/", "")) == ("", True)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("out", ["file", "file/deep/run"])
def test_a_run_needs_a_folder(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert main(["run", "scenes", "--limit", "2", "--quiet", "--out", out]) == 2
    err = capsys.readouterr().err
    assert "error: --out " in err
    assert "file is a file; give a folder" in err


HOLDS = """
import sys
from pathlib import Path
from gandiff.common.outputs import claim_file
path = Path(sys.argv[1])
with claim_file(path, path.suffix, lambda _: True):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(out: str) -> Iterator[subprocess.Popen[str]]:
    """Another process is about to write a file; it is killed in the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDS, out], **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@each_command
def test_a_second_writer_is_refused(
    name: str, inputs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(COMMANDS[name][1])
    before = sorted(Path().rglob("*"))
    with held(str(out)) as process:
        assert run(name) == 2
        assert f"{out} is being written by another process (id {process.pid})" in (
            capsys.readouterr().err
        )
        assert run(name, f"other{out.suffix}") == 0  # beside it there is no need to wait
        assert run(name, f"./deep/../{out}") == 2  # the same file by another name
    assert run(name) == 0
    made = {path.name for path in Path().iterdir()} - {path.name for path in before}
    assert {one for one in made if not one.endswith(out.suffix)} <= {"x", "other", "deep", "u.npz"}


@each_command
def test_a_read_only_disk_is_reported_before_the_work(
    name: str, inputs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(Path("disk"), 1) as disk:
        make_read_only(disk)
        assert run(name, f"disk/deep/{COMMANDS[name][1]}") == 1
        assert "error: the disk is read-only (disk" in capsys.readouterr().err


@given(st.dictionaries(st.sampled_from(["Software", "Title"]), st.sampled_from(["gandiff", "x"])))
def test_our_pictures_say_so(texts: dict[str, str]) -> None:
    facts = PngInfo()
    for key, value in texts.items():
        facts.add_text(key, value)
    Image.new("RGB", (2, 2)).save("a.png", pnginfo=facts)
    assert is_our_png(Path("a.png")) == (texts.get("Software") == "gandiff")


@given(st.binary(max_size=80))
def test_what_cannot_be_read_is_not_ours(content: bytes) -> None:
    Path("a").write_bytes(content)
    assert not is_our_png(Path("a"))
    assert not is_our_statistics(Path("a"))


def test_a_picture_is_whole_or_not_there() -> None:
    """Half of one would be taken for somebody else's, and never be replaced."""
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    with small_disk(Path("disk"), 0.1) as disk:
        with pytest.raises(OSError, match="No space left"):
            write_png(disk / "x.png", image)
        assert not any(disk.iterdir())
    with small_disk(Path("disk2"), 1) as disk:
        write_png(disk / "x.png", image)
        assert is_our_png(disk / "x.png")
        assert (np.asarray(Image.open(disk / "x.png")) == image).all()
