"""What an image costs: timed in a process of its own, once, and never at the price of the run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st
from run_helpers import TOY, besides_domain, record, write_comparison
from scene_toys import noise, score

from gandiff.experiments import api
from gandiff.experiments.cli import main
from gandiff.experiments.timing import measure, time
from gandiff.models.generator import (
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
)

TIMING = {"warmup": 1, "repeats": 3, "batch_sizes": [2], "min_seconds": 0.0}
BUSY = Path(__file__).parents[1] / "scene_toys.py"


def run(file: Path) -> api.RunSummary:
    return api.run(file, out=file.parent / "run", until="score", quiet=True)


def timed(summary: api.RunSummary) -> pd.DataFrame:
    return pd.read_parquet(summary.folder / "timing.parquet")


def processes(log: Path) -> list[str]:
    """The process that wrote each line of a toy's log, with what it did."""
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, api.RunSummary]:
    """A run of a toy, a generator that breaks when timed, and a folder of images."""
    folder = tmp_path_factory.mktemp("costs")
    made = toys.save_toy_images(
        folder / "elsewhere", [f"{i:05d}_{k}.png" for i in (1, 2) for k in (0, 1)]
    )
    generators = {
        "toy": {"type": TOY, "log": str(folder / "toy.log")},
        "broken": {"type": f"{BUSY}:crash", "timing": "on"},
        "elsewhere": {"type": "folder", "folder": str(made), "pattern": "{prompt_id}_{sample}.png"},
    }
    file = write_comparison(folder, 2, generators=generators, timing=TIMING)
    return file, run(file)


def test_each_repeat_is_a_row(measured: tuple[Path, api.RunSummary]) -> None:
    table = timed(measured[1])
    found = {
        phase: len(rows)
        for phase, rows in table[table.generator == "toy"].groupby(["phase", "batch_size"])
    }
    assert found == {("load", 0): 1, ("latency", 1): 3, ("throughput", 2): 3}
    assert (table.seconds >= 0).all()
    assert (table.warmups == (table.phase != "load")).all()
    assert set(table.generator) == {"toy"}


def test_costs_are_rows_of_the_results(measured: tuple[Path, api.RunSummary]) -> None:
    rows = measured[1].to_frame()
    mine = rows[rows.generator == "toy"].set_index("metric")
    assert set(mine.index) == {
        *("latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes"),
        *("parameters", "nfe"),
    }
    table = timed(measured[1])
    latency = table[(table.generator == "toy") & (table.phase == "latency")].seconds
    assert mine.value["latency_seconds"] == pytest.approx(latency.median())
    assert mine.value["parameters"] == 3
    assert mine.value["nfe"] == 2
    assert mine.direction["images_per_second"] == "higher"
    assert mine.direction["latency_seconds"] == "lower"
    protocol = json.loads(mine.protocol["latency_seconds"])
    assert protocol["own_process"] is True
    assert protocol["calls"] == protocol["repeats"] == 3
    assert protocol["warmup_calls"] == 1


def test_the_memory_is_that_of_a_process_of_its_own(
    measured: tuple[Path, api.RunSummary],
) -> None:
    mine = measured[1].to_frame().set_index(["generator", "metric"])
    peak = mine.value["toy", "peak_memory_bytes"]
    assert 20e6 < peak < 2e9
    assert pd.isna(mine.note["toy", "peak_memory_bytes"])
    # One batch for the run in this process; in the other one a warm-up and three calls, twice.
    calls = [line for line in processes(measured[0].parent / "toy.log") if "begin" in line]
    assert (
        calls
        == ["begin 00001_0 00001_1 00002_0 00002_1"]
        + ["begin None_0"] * 4
        + ["begin None_0 None_0"] * 4
    )


def test_a_folder_costs_nothing(measured: tuple[Path, api.RunSummary]) -> None:
    rows = measured[1].to_frame()
    (row,) = rows[rows.generator == "elsewhere"].itertuples()
    assert (row.metric, row.note) == (
        "latency_seconds",
        "not timed: the images were made elsewhere",
    )
    assert pd.isna(row.value)
    assert "elsewhere" not in record(measured[1].folder)["costs"]


def test_what_breaks_when_timed_becomes_a_warning(
    measured: tuple[Path, api.RunSummary],
) -> None:
    summary = measured[1]
    assert summary.images == {"ok": 12}
    assert [w for w in summary.warnings if "timed" in w] == [
        "broken was not timed: RuntimeError: one is too few for this toy"
    ]
    rows = summary.to_frame()
    broken = rows[rows.generator == "broken"].set_index("metric")
    assert set(broken.index) == {"latency_seconds", "nfe"}
    assert pd.isna(broken.value["latency_seconds"])
    assert broken.note["latency_seconds"] == (
        "not measured: RuntimeError: one is too few for this toy"
    )


def test_a_second_run_times_only_what_failed(measured: tuple[Path, api.RunSummary]) -> None:
    file, before = measured
    table, calls = timed(before), processes(file.parent / "toy.log")
    again = run(file)
    pd.testing.assert_frame_equal(timed(again), table)
    assert processes(file.parent / "toy.log") == calls
    assert again.warnings == before.warnings


def test_another_protocol_is_timed_again(measured: tuple[Path, api.RunSummary]) -> None:
    file, _ = measured
    first = file.parent / "toy.log"
    before = len(processes(first))
    changed = api.run(
        *(file,),
        out=file.parent / "run",
        until="score",
        quiet=True,
        overrides=["timing.repeats=1", "timing.warmup=0"],
    )
    table = timed(changed)
    assert len(table[table.phase == "latency"]) == 1
    assert sum("begin" in line for line in processes(first)[before:]) == 2


def test_scoring_loads_no_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(tmp_path, 2, timing=TIMING, metrics=["vendi(encoder=scenes)"])
    folder = tmp_path / "run"
    assert main(["generate", str(file), "--out", str(folder), "--quiet"]) == 0
    with monkeypatch.context() as patch:
        for place in ("runs.run", "plugins.registry"):
            patch.setattr(f"gandiff.experiments.{place}.make_generator", _refuse)
        patch.setattr("gandiff.experiments.timing.processes.subprocess", None)
        assert main(["score", str(folder), "--quiet"]) == 0
    said = capsys.readouterr().err
    assert "toy, other: speed and memory were not measured; measure them with: " in said
    assert f"gandiff time {folder}" in said
    rows = pd.read_parquet(folder / "results.parquet")
    assert set(rows.metric) == {"vendi(encoder=scenes)", "parameters", "nfe"}
    assert "costs" not in record(folder)
    assert not (folder / "timing.parquet").exists()

    assert main(["time", str(folder), "--quiet", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["images"] == {"ok": 8}
    assert besides_domain(printed.err.splitlines()) == []
    assert set(record(folder)["costs"]) == {"toy", "other"}
    assert main(["score", str(folder), "--quiet"]) == 0
    assert besides_domain(capsys.readouterr().err.splitlines()) == []
    rows = pd.read_parquet(folder / "results.parquet")
    assert set(rows[rows.metric == "latency_seconds"].generator) == {"toy", "other"}


def test_a_generator_that_cannot_be_loaded_does_not_disturb_the_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generators = {"toy": {"type": TOY}, "broken": {"type": TOY, "broken": "load"}}
    file = write_comparison(
        tmp_path, 2, generators=generators, metrics=["vendi(encoder=scenes)"], timing=TIMING
    )
    folder = tmp_path / "run"
    because = "cannot be loaded: the toy does not want to be loaded"
    for stage in ("generate", "score"):
        assert main([stage, str(file), "--out", str(folder), "--quiet"]) == 1
        said = capsys.readouterr().err
        assert said.splitlines()[-1] == f"error: broken made no image: {because}"
        assert said.count("broken") == 1
    rows = pd.read_parquet(folder / "results.parquet").set_index(["generator", "metric"])
    assert rows.value["toy", "vendi(encoder=scenes)"] > 1
    note = rows.note["broken", "vendi(encoder=scenes)"]
    assert note == f"not measured: there is no usable image ({because})"


def test_there_is_nothing_to_time_before_there_is_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(tmp_path, 2)
    assert main(["time", str(file), "--out", str(tmp_path / "run")]) == 2
    assert "start with: gandiff generate" in capsys.readouterr().err


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("a generator was built")


class Memory(Generator):
    """Notes in which process it was asked, and takes its time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo(
            name="memory", family="gan", resolution=32, training_seconds=60.0, settings={"deep": 1}
        )

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.asked.append(os.getpid())

    def generate(self, requests: Any) -> list[Generation]:
        made = noise([r.prompt for r in requests], [r.seed for r in requests])
        return [Generation(image=image) for image in made]


def test_python_objects_are_timed_where_they_live(tmp_path: Path) -> None:
    memory = Memory()
    summary = score(tmp_path / "r", {"memory": memory}, [], ["a", "b"])
    assert memory.asked == [os.getpid()] * 2
    rows = summary.to_frame().set_index("metric")
    assert "whole process" in rows.note["peak_memory_bytes"]
    assert json.loads(rows.protocol["latency_seconds"])["own_process"] is False
    assert rows.value["training_seconds"] == 60
    # Gone on with where the object is not: its costs are kept and nothing is asked for.
    kept = api.stage(summary.folder, "score", quiet=True)
    assert kept.warnings == []
    pd.testing.assert_frame_equal(kept.to_frame(), summary.to_frame())


class Slow(Memory):
    """Takes so many seconds for an image, of a clock that is wound by hand."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def generate(self, requests: Any) -> list[Generation]:
        self.clock[0] += self.seconds * len(requests)
        return super().generate(requests)


JOB = {
    "device": "cpu",
    "dtype": "float32",
    "prompts": ["a", "b"],
    "warmup": 1,
    "repeats": 10,
    "batch_sizes": [4],
    "min_seconds": 0.3,
    "patience_seconds": measure.PATIENCE_SECONDS,
    "fewest_repeats": 2,
}


def phases(monkeypatch: pytest.MonkeyPatch, seconds: float, **job: Any) -> list[dict[str, Any]]:
    """What is measured of a generator that takes so long for an image, by a clock of its own."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    slow = Slow(clock, seconds)
    found: list[dict[str, Any]] = measure.measure_generator(slow, {**JOB, **job})["phases"]
    made = sum(p["batch_size"] * (p["warmups"] + len(p["seconds"])) for p in found)
    assert clock[0] == pytest.approx(seconds * made)
    return found


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found = phases(monkeypatch, 1.5)
    # 4 s are used up after three calls of 1.5 s, and by the first of 6 s, which gets a second one.
    assert [(p["batch_size"], p["warmups"], p["seconds"]) for p in found] == [
        (1, 1, [1.5] * 3),
        (4, 1, [6.0] * 2),
    ]


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.one_of(st.just(0.0), st.floats(1e-4, 3.0)),
    warmup=st.integers(0, 4),
    repeats=st.integers(1, 70),
    least=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
)
def test_fast_calls_are_timed_until_enough_time_has_passed(
    seconds: float, warmup: int, repeats: int, least: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        job = {"warmup": warmup, "repeats": repeats, "min_seconds": least, "batch_sizes": [1]}
        found = phases(patch, seconds, **job, patience_seconds=4.0)
    (phase,) = found
    calls, spent = len(phase["seconds"]), sum(phase["seconds"])
    before = spent - phase["seconds"][-1]
    patient = spent <= 4.0 + 1e-9
    assert calls >= (repeats if patient else min(2, repeats))
    assert spent >= least or calls >= 50
    assert calls <= max(repeats, 50)
    if calls > repeats:  # not one more than it takes
        assert before < least
    assert phase["warmups"] >= warmup
    if warmup == 0 or least == 0:
        assert phase["warmups"] == warmup
    else:
        assert phase["warmups"] * seconds >= least / 3 - 1e-9 or phase["warmups"] >= 50
        assert phase["warmups"] <= max(warmup, 50)
    if least == 0 and patient:
        assert calls == repeats


def test_the_calls_that_were_made_are_in_table_protocol_and_report(tmp_path: Path) -> None:
    timing = {"warmup": 1, "repeats": 2, "rounds": 2, "batch_sizes": [1], "min_seconds": 0.05}
    log = tmp_path / "toy.log"
    generators = {"toy": {"type": TOY, "log": str(log)}, "slow": {"type": TOY, "delay": 0.06}}
    file = write_comparison(tmp_path, 2, generators=generators, timing=timing)
    summary = api.run(file, out=tmp_path / "run", quiet=True)
    table = timed(summary)
    rows = summary.to_frame()
    rows = rows[rows.metric == "latency_seconds"].set_index("generator")
    report = (tmp_path / "run/report/report.md").read_text(encoding="utf-8")
    for name in generators:
        mine = table[(table.generator == name) & (table.phase == "latency")]
        warmups = int(mine.groupby("round").warmups.first().sum())
        protocol = json.loads(rows.protocol[name])
        assert (protocol["calls"], protocol["warmup_calls"]) == (len(mine), warmups)
        assert f"{name} {len(mine):,} after {warmups:,} to warm up" in report
    assert len(table[(table.generator == "slow") & (table.phase == "latency")]) == 2
    toy = table[(table.generator == "toy") & (table.phase == "latency")]
    assert len(toy) > 10
    begun = sum(line == "begin None_0" for line in processes(log))
    assert begun == json.loads(rows.protocol["toy"])["warmup_calls"] + len(toy)


def test_how_often_two_runs_called_does_not_keep_their_times_apart(tmp_path: Path) -> None:
    """What a protocol says beside what was asked for was found by measuring, never twice alike."""
    timing = {"warmup": 1, "repeats": 2, "rounds": 1, "batch_sizes": [1, 2], "min_seconds": 0.02}
    runs = []
    for name, delay in (("a", 0.0), ("b", 0.004)):
        generators = {"toy": {"type": TOY, "delay": delay}}
        (tmp_path / name).mkdir()
        file = write_comparison(tmp_path / name, 2, generators=generators, timing=timing)
        runs.append(api.run(file, out=tmp_path / name / "run", quiet=True).folder)
    warmups = [pd.read_parquet(folder / "timing.parquet").warmups.max() for folder in runs]
    assert warmups[0] > warmups[1]
    found = api.compare_runs(*runs)
    assert not found.warnings
    costs = {"latency_seconds", "images_per_second", "load_seconds", "peak_memory_bytes", "nfe"}
    assert costs <= {change.metric for change in found.changes}


def test_what_was_timed_before_there_was_a_least_time_stands() -> None:
    now = {"patience_seconds": 4.0, "timing": {"repeats": 5, "min_seconds": 0.3}}
    before = {"patience_seconds": 4.0, "timing": {"repeats": 5}}
    assert time._is_enough(before, now)
    for other in ({"repeats": 5, "min_seconds": 0.4}, {"repeats": 6, "min_seconds": 0.3}):
        assert not time._is_enough(before, {**now, "timing": other})


def test_a_first_look_is_timed_for_a_shorter_time_and_a_long_timing_counts_for_it() -> None:
    timing = {"repeats": 5, "min_seconds": 0.3}
    long: dict[str, Any] = {"identity": 1, "patience_seconds": 4.0, "timing": timing}
    short = {**long, "patience_seconds": 0.5}
    assert time._is_enough(long, short)
    assert time._is_enough(long, long)
    assert not time._is_enough(short, long)
    assert not time._is_enough({**long, "identity": 2}, short)
    assert not time._is_enough(None, short)

    limits = (None, 1000, 64, 8)
    assert [time._patience(limit) for limit in limits] == [4.0, 4.0, 4.0, 0.5]


def test_a_process_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "_PROCESS_SECONDS", 0.05)
    file = write_comparison(tmp_path, 1, generators={"toy": {"type": TOY}}, timing=TIMING)
    summary = run(file)
    assert summary.warnings == ["toy was not timed: it took longer than 0.05 s"]
    assert timed(summary).empty


def test_requests_differ_and_repeat_the_prompts() -> None:
    found = measure._requests(["a", "b"], 3)
    assert found == [
        GenerationRequest(prompt="a", seed=0),
        GenerationRequest(prompt="b", seed=1),
        GenerationRequest(prompt="a", seed=2),
    ]
