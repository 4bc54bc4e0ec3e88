"""Timing costs what it says: nothing where it is off, and nobody pays for calls by surprise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toys
from run_helpers import TOY, TOYS, calls, record, write_comparison
from scene_toys import noise

import gandiff
from gandiff.common.errors import RequestError
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import comparison_from_dict, load_comparison
from gandiff.experiments.config.types import comparison_to_dict
from gandiff.models.generator import Generation, GeneratorInfo

PROMPTS = [f"a thing {i}" for i in range(20)]
TIMED = {"latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes"}
PAID = f"{Path(__file__)}:Paid"


class Counting:
    """A function that counts what it is asked for, as a service that sends bills does."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        self.asked += seeds
        return noise(prompts, seeds)


class Paid(gandiff.Generator):
    """A plugin that says that its images cost money, and notes each of them."""

    def __init__(self, name: str, log: str = "") -> None:
        self._name, self._log = name, Path(log)

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo(name=self._name, family="other", resolution=32, cost="request")

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def generate(self, requests: Any) -> list[Generation]:
        with self._log.open("a") as log:
            log.writelines(f"{r.seed}\n" for r in requests)
        made = noise([r.prompt for r in requests], [r.seed for r in requests])
        return [Generation(image=image) for image in made]


def compare(folder: Path, function: Any, **settings: Any) -> pd.DataFrame:
    """The rows of a comparison of one function by their metric."""
    chosen = {"samples_per_prompt": 3, "metrics": [], "out": folder / "r", "quiet": True}
    done = gandiff.compare(generators={"mine": function}, suite=PROMPTS, **chosen, **settings)
    return done.to_frame().set_index("metric")


def test_a_function_is_asked_for_the_images_that_are_wanted(tmp_path: Path) -> None:
    function = Counting()
    rows = compare(tmp_path, function)
    assert len(function.asked) == len(set(function.asked)) == 60
    assert pd.isna(rows.value["latency_seconds"])
    assert rows.note["latency_seconds"] == (
        "not timed: each call may cost something; generators.mine.timing=on has it timed"
    )
    (verdict,) = [line for line in record(tmp_path / "r")["reported"]["verdict"] if "peed" in line]
    assert "not measured" in verdict
    report = (tmp_path / "r/report/report.html").read_text(encoding="utf-8")
    assert "not timed: each call may cost something" in report


@pytest.mark.parametrize("cost", [None, "compute"])
def test_timing_that_is_asked_for_is_done(tmp_path: Path, cost: str | None) -> None:
    function = Counting()
    # However fast it is: where a call may cost something, no more than asked for.
    few = {"min_seconds": 0.0} if cost else {"warmup": 0, "repeats": 2, "batch_sizes": [1, 4]}
    timing = {"timing": few}
    if cost:
        function.cost = cost  # type: ignore[attr-defined]
    rows = compare(tmp_path, function, **timing)
    assert (rows.value[list(TIMED)] > 0).all()
    # 60 images in batches of 32, the last of which is filled up only where that costs nothing.
    assert len(function.asked) == (64 + 11 * 41 if cost else 60 + 2 * 5)


@pytest.mark.parametrize("off", ["off", False])
def test_timing_is_off_for_all_or_for_one(tmp_path: Path, off: Any) -> None:
    generators = {
        name: {"type": TOY, "log": str(tmp_path / f"{name}.log")} for name in ("one", "two")
    }
    file = write_comparison(tmp_path, 2, generators=generators, timing=off)
    folder = tmp_path / "r"
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 0
    assert {len(calls(tmp_path / f"{n}.log")) for n in generators} == {1}
    assert "costs" not in record(folder)
    rows = pd.read_parquet(folder / "results.parquet")
    assert set(rows[rows.metric == "latency_seconds"].note) == {"not timed: timing is off"}
    quick = ["--set", "timing={warmup: 0, repeats: 1, batch_sizes: [1], min_seconds: 0}"]
    one_off = ["--set", f"generators.one.timing={str(off).lower()}"]
    assert main(["run", str(file), "--out", str(folder), "--quiet", *quick, *one_off]) == 0
    assert [len(calls(tmp_path / f"{n}.log")) for n in generators] == [1, 2]
    # And on for one where it is off for all.
    on = ["--set", "generators.one.timing=on", "--set", "timing.repeats=2", "--set"]
    assert (
        main(["run", str(file), "--out", str(folder), "--quiet", *on, "timing.enabled=false"]) == 0
    )
    assert [len(calls(tmp_path / f"{n}.log")) > 1 for n in generators] == [True, True]
    assert len(calls(tmp_path / "two.log")) == 2


def test_a_plugin_that_costs_money_is_asked_no_more_than_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    file = write_comparison(
        tmp_path, 5, generators={"paid": {"type": PAID, "log": str(log)}}, batch_size=4
    )
    folder = tmp_path / "r"
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 0
    assert len(log.read_text().splitlines()) == 10  # the batches are of 4, 4 and 2
    capsys.readouterr()
    assert main(["time", str(folder), "--quiet"]) == 0
    assert capsys.readouterr().err == (
        "warning: paid is not timed: each call may cost something; generators.paid.timing=on has "
        "it timed\n"
    )
    assert len(log.read_text().splitlines()) == 10


@pytest.mark.parametrize("family", ["folder", "gan", "diffusion", "other"])
def test_looking_up_is_never_timed(tmp_path: Path, family: str) -> None:
    names = [f"{i:05d}_{k}.png" for i in (1, 2) for k in (0, 1)]
    made = toys.save_toy_images(tmp_path / "elsewhere", names)
    generators: Mapping[str, Any] = {
        "elsewhere": {"type": "folder", "folder": str(made), "family": family},
        "function": {"type": f"{TOYS}:paint", "timing": "on"},
    }
    quick = {"warmup": 0, "repeats": 1, "batch_sizes": [1]}
    file = write_comparison(tmp_path, 2, generators=generators, timing=quick)
    folder = tmp_path / "r"
    assert main(["run", str(file), "--out", str(folder), "--quiet"]) == 0
    assert set(record(folder)["costs"]) == {"function"}
    rows = pd.read_parquet(folder / "results.parquet")
    mine = rows[rows.generator == "elsewhere"]
    assert list(mine.metric) == ["latency_seconds"]
    assert list(mine.note) == ["not timed: the images were made elsewhere"]
    assert set(rows[rows.generator == "function"].metric) == {*TIMED, "nfe"}
    with pytest.raises(RequestError, match=r"elsewhere\.timing: images that were made elsewhere"):
        load_comparison(file, ["generators.elsewhere.timing=on"])


def test_the_speed_of_failing_is_not_measured(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, ["NAN a"], generators={"toy": {"type": TOY}})
    assert main(["run", str(file), "--out", str(tmp_path / "r"), "--quiet"]) == 1
    rows = pd.read_parquet(tmp_path / "r" / "results.parquet").set_index("metric")
    assert rows.note["latency_seconds"] == "not timed: it made no image"


def test_the_setting_is_written_and_read_back() -> None:
    data = {
        "name": "x",
        "metrics": [],
        "timing": False,
        "generators": {"a": {"type": "gan", "timing": True}, "b": {"type": "gan"}},
    }
    comparison = comparison_from_dict(data)
    assert not comparison.timing.enabled
    assert {n: g.timing for n, g in comparison.generators.items()} == {"a": "on", "b": None}
    written = json.loads(json.dumps(comparison_to_dict(comparison)))
    again = comparison_from_dict(written, base=comparison.base, trusted=True)
    assert again == comparison
    # What a run of an earlier version holds: no word on either.
    plain = comparison_to_dict(comparison_from_dict({**data, "timing": {"warmup": 2}}))
    assert plain["timing"] == {
        "warmup": 2,
        "repeats": 10,
        "min_seconds": 0.3,
        "rounds": None,
        "batch_sizes": [1, 8, 32],
    }
    with pytest.raises(RequestError, match=r"generators\.a\.timing: must be one of on, off"):
        comparison_from_dict({**data, "generators": {"a": {"type": "gan", "timing": "of"}}})
    with pytest.raises(
        RequestError, match="timing: must be on, off or a mapping, got 'of'; did you"
    ):
        comparison_from_dict({**data, "timing": "of"})
