"""Generators whose code has changed are made again, in Python and through comparison files."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_helpers import besides_domain, images, log_lines, make, record, write_comparison

import gandiff
from gandiff.experiments import api
from gandiff.models.generator import Generation, GenerationRequest, GeneratorInfo

CELL = """
import numpy as np
def f(prompts, seeds):
    calls.append(len(prompts))
    return [
        np.random.default_rng(s).integers(0, {levels}, (16, 16, 3), dtype=np.uint8) for s in seeds
    ]
"""


def cell(levels: int = 256, text: str = CELL) -> Any:
    """A function that was typed into a notebook."""
    scope: dict[str, Any] = {"__name__": "__main__", "calls": []}
    exec(text.format(levels=levels), scope)
    return scope["f"]


def compare(**generators: Any) -> api.RunSummary:
    """As one writes it: ``out`` is left out. That noise is no scene is not looked at here."""
    summary = gandiff.compare(
        generators=generators,
        suite=["a dog", "a cat", "a cow"],
        metrics=["vendi(encoder=scenes)"],
        samples_per_prompt=2,
        report={"gallery_prompts": 1, "trace_prompts": 0},
        timing="off",
        quiet=True,
    )
    return dataclasses.replace(summary, warnings=besides_domain(summary.warnings))


def vendi(summary: api.RunSummary, name: str = "mine") -> float:
    table = summary.to_frame()
    rows = table[(table.metric == "vendi(encoder=scenes)") & (table.generator == name)]
    return float(rows.value.iloc[0])


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_that_is_typed_again_with_a_change_gives_its_own_numbers() -> None:
    first = compare(mine=cell(256))
    assert first.warnings == []
    before = vendi(first)
    second = compare(mine=cell(20))
    assert second.warnings == [
        "mine: its code has changed; its images of before were dropped and are made again"
    ]
    fresh = Path("runs/compare").rename("moved")
    straight = compare(mine=cell(20))
    assert vendi(straight) == pytest.approx(vendi(second), rel=1e-5)
    assert vendi(straight) != pytest.approx(before, rel=1e-3)
    assert images(fresh) == images(straight.folder)


def test_the_same_function_is_not_called_again() -> None:
    function = cell(256)
    compare(mine=function)
    log = log_lines(Path("runs/compare"))
    again = compare(mine=function)  # what it counted has changed, by our calls alone
    typed_again = compare(mine=cell(256))
    assert again.warnings == typed_again.warnings == []
    assert log_lines(Path("runs/compare")) == log


def test_another_function_beside_it_keeps_its_images() -> None:
    compare(mine=cell(256), other=cell(100))
    log = [e for e in log_lines(Path("runs/compare")) if e["generator"] == "other"]
    summary = compare(mine=cell(20), other=cell(100))
    assert [w.partition(":")[0] for w in summary.warnings] == ["mine"]
    assert [e for e in log_lines(Path("runs/compare")) if e["generator"] == "other"] == log


def test_what_cannot_be_identified_is_made_again_and_said() -> None:
    lock = threading.Lock()

    def locked(prompts: list[str], seeds: list[int]) -> Any:
        with lock:
            return cell(256)(prompts, seeds)

    compare(mine=locked)
    again = compare(mine=locked)
    assert len(again.warnings) == 1
    assert "mine: its code cannot be identified (a lock cannot be hashed" in again.warnings[0]
    assert "made again" in again.warnings[0]
    locked.version = "1"  # type: ignore[attr-defined]
    assert compare(mine=locked).warnings != []  # from unidentified to a version
    assert compare(mine=locked).warnings == []
    locked.version = "2"  # type: ignore[attr-defined]
    assert "its code has changed" in compare(mine=locked).warnings[0]


class Grey(gandiff.Generator):
    """Loads what it needs, as generators do."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.table: np.ndarray | None = None

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo(name="grey", family="other", resolution=16)

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.table = np.arange(256)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        made = cell(100)([r.prompt for r in requests], [r.seed for r in requests])
        return [Generation(image=image + np.uint8(self.level)) for image in made]


OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "attribute": (lambda: Grey(3), lambda made: (setattr(made, "level", 4), made)[1]),
    "another object": (lambda: Grey(3), lambda made: Grey(4)),
    "partial": (
        lambda: functools.partial(lambda level, prompts, seeds: cell(level)(prompts, seeds), 50),
        lambda made: functools.partial(made.func, 60),
    ),
    "method": (
        lambda: Painter(50).paint,
        lambda made: Painter(60).paint,
    ),
}


class Painter:
    """An object whose method makes images."""

    def __init__(self, level: int) -> None:
        self.level = level

    def paint(self, prompts: list[str], seeds: list[int]) -> Any:
        return cell(self.level)(prompts, seeds)


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_and_their_values(kind: str) -> None:
    build, change = OBJECTS[kind]
    made = build()
    compare(mine=made)
    log = log_lines(Path("runs/compare"))
    assert compare(mine=made).warnings == []
    assert log_lines(Path("runs/compare")) == log
    changed = compare(mine=change(made))
    assert "mine: its code has changed" in changed.warnings[0]
    sizes = {e["sha256"] for e in log} & {e["sha256"] for e in log_lines(Path("runs/compare"))}
    assert not sizes


MODULE = """
from painting_helper import levels
import numpy as np
def paint(prompts, seeds):
    return np.stack([
        np.random.default_rng(s).integers(0, levels(), (8, 8, 3), dtype=np.uint8) for s in seeds
    ])
"""


def in_a_process_of_its_own(file: Path, *more: str) -> None:
    command = [sys.executable, "-m", "gandiff", "run", str(file), "--stop-after", "generate"]
    out = ["--out", str(file.parent / "run"), "--quiet", *more]
    subprocess.run([*command, *out], check=True, capture_output=True, env=dict(os.environ))


def test_code_behind_a_comparison_file(tmp_path: Path) -> None:
    (tmp_path / "painting.py").write_text(MODULE)
    (tmp_path / "painting_helper.py").write_text("def levels():\n    return 250\n")
    file = write_comparison(tmp_path, 3, generators={"toy": {"type": "painting:paint"}})
    in_a_process_of_its_own(file)
    first = images(tmp_path / "run")
    (tmp_path / "painting.py").write_text(f"# a comment\n{MODULE}")
    in_a_process_of_its_own(file)
    assert images(tmp_path / "run") == first
    assert record(tmp_path / "run")["warnings"] == []
    (tmp_path / "painting_helper.py").write_text("def levels():\n    return 150\n")
    in_a_process_of_its_own(file)  # the same size and second: no compiled file may be in the way
    said = record(tmp_path / "run")["warnings"]
    assert said == ["toy: its code has changed; its images of before are kept as toy@1"]
    there = images(tmp_path / "run")
    assert {p.replace("toy@1", "toy"): h for p, h in there.items() if "@" in p} == first
    assert {h for p, h in there.items() if "@" not in p}.isdisjoint(first.values())


def test_a_module_that_changes_between_two_runs_of_one_process(tmp_path: Path) -> None:
    text = MODULE.replace("from painting_helper import levels", "levels = lambda: {}")
    (tmp_path / "paints.py").write_text(text.format(250))
    file = write_comparison(tmp_path, 3, generators={"toy": {"type": "paints.py:paint"}})
    first = images(make(file))
    (tmp_path / "paints.py").write_text(text.format(150))
    make(file, drop_changed=True)
    assert images(tmp_path / "run") != first
    assert images(tmp_path / "run") == images(make(file, out="straight"))


def test_a_file_that_a_setting_names(tmp_path: Path) -> None:
    (tmp_path / "styled.py").write_text(
        "from pathlib import Path\n"
        "from toy_generators import paint\n"
        "def make(*, lora: str, log: str = ''):\n"
        "    shade = int(Path(lora).read_text())\n"
        "    return lambda prompts, seeds: paint(prompts, seeds, shade)\n"
    )
    (tmp_path / "style.json").write_text("3")
    lora = str(tmp_path / "style.json")
    file = write_comparison(
        tmp_path, generators={"toy": {"type": "styled.py:make", "lora": lora, "log": "out.log"}}
    )
    folder = make(file)
    (tmp_path / "out.log").write_text("what a generator writes is nothing that it reads")
    make(file)
    assert record(folder)["warnings"] == []
    (tmp_path / "style.json").write_text("4")
    make(file)
    assert record(folder)["warnings"] == [
        "toy: the file of lora has changed; its images of before are kept as toy@1"
    ]


def test_scores_of_changed_code_are_said_to_be_of_the_old_one(tmp_path: Path) -> None:
    text = MODULE.replace("from painting_helper import levels", "levels = lambda: {}")
    (tmp_path / "paints.py").write_text(text.format(250))
    file = write_comparison(tmp_path, 3, generators={"toy": {"type": "paints.py:paint"}})
    folder = make(file)
    (tmp_path / "paints.py").write_text(text.format(150))
    log = log_lines(folder)
    summary = api.stage(folder, "score", quiet=True)
    assert "toy: its code has changed since it was made" in summary.warnings
    assert log_lines(folder) == log


def test_a_run_that_did_not_record_code_is_kept_with_a_remark(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, 3)
    folder = make(file)
    run = record(folder)
    for plan in run["plan"]["generators"].values():
        del plan["identity"]["code"]
    (folder / "run.json").write_text(json.dumps(run))
    keys = {e["key"] for e in log_lines(folder)}
    (folder / "images.jsonl").unlink()
    make(file)  # as an older version would have keyed them
    assert keys.isdisjoint(e["key"] for e in log_lines(folder))
    made, said = log_lines(folder), record(folder)["warnings"]
    assert len(said) == 2
    assert "did not record the code of generators" in said[0]
    make(file)
    assert (log_lines(folder), record(folder)["warnings"]) == (made, said)
    assert pd.DataFrame(made).status.eq("ok").all()


def test_code_is_known_again_in_another_process_and_folder(tmp_path: Path) -> None:
    """Also a class with sets and dictionaries, whose order Python mixes in every process."""
    text = (
        "from toy_generators import ToyGenerator\n"
        "COLOURS = {'red', 'green', 'blue', 'white'}\n"
        "class Mine(ToyGenerator):\n"
        "    kinds = frozenset({'a', 'b', 'c', 'd'})\n"
        "    def _one(self, request):\n"
        "        assert request.prompt not in {'x', 'y', 'z'}, (COLOURS, self.kinds)\n"
        "        return super()._one(request)\n"
    )
    script = (
        "import sys; sys.path.append(sys.argv[2])\n"
        "from pathlib import Path\n"
        "from gandiff.experiments.plugins.registry import generator_factory\n"
        "from gandiff.experiments.plugins.source import code_identity\n"
        "print(code_identity(generator_factory('mine.py:Mine', Path(sys.argv[1]))))"
    )
    seen = set()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mine.py").write_text(text)
        toys = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", script, str(folder), toys]
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
        seen.add(finished.stdout or finished.stderr)
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 64
