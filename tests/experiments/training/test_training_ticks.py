"""When a training is measured, what that leaves behind, and what a slow measurement costs."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loop_helpers import count_milliseconds, ctrl_c_is_heard, make

from gandiff.experiments.training import loop as loops
from gandiff.experiments.training.checkpoints import BEST, CHECKPOINT, numbered, read_checkpoint
from gandiff.experiments.training.loop import Loop

ctrl_c = ctrl_c_is_heard
SCORES = [2.0, 3.0, 1.0, 5.0, 4.0, 6.0]


@pytest.fixture(autouse=True)
def _every_step_takes_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    count_milliseconds(monkeypatch)


def test_ticks_come_at_even_distances_and_keep_the_best(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, kimg=0.06, ticks=5, keep=3)
    scores = iter([1.0, 3.0, 2.0, 5.0, 4.0])
    at = []

    def tick() -> tuple[float, dict[str, float]]:
        at.append(loop.progress.images)
        score = next(scores)
        return score, {"score": score}

    loop.run(step, tick)
    assert at == [12, 24, 36, 48, 60]
    assert loop.progress.best == 5.0
    rows = [row for row in loop.log.curve if "score" in row]
    assert [row["score"] for row in rows] == [1, 3, 2, 5, 4]
    assert loop.record()["ticks"] == rows
    best = torch.load(tmp_path / BEST, weights_only=True)
    assert best["progress"]["images"] == 48
    assert best["state"]["net"]["weight"].item() == 16
    assert len(numbered(tmp_path)) == 2  # and the latest
    assert (tmp_path / loops.CHECKPOINT).is_file()


def test_a_slow_tick_takes_its_share_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ticks that take as long as several of their distances leave time to train."""
    loop, _, step = make(tmp_path, ticks=20, quiet=False)  # one each 3 ms
    steps = []

    def tick() -> tuple[float, dict[str, float]]:
        steps.append(loop.progress.steps)
        for _ in range(20):  # of the clock's milliseconds
            loops.time.perf_counter()
        return 0.0, {"score": 0.0}

    loop.run(step, tick)
    assert loop.fraction == 1.0
    assert 2 <= len(steps) <= 3
    assert all(b > a for a, b in itertools.pairwise(steps))
    said = capsys.readouterr().err
    assert said.count("measuring takes more than a fifth of the time between two ticks") == 1
    assert "--ticks below 20 spaces them evenly" in said


@pytest.mark.parametrize("slow", [0, 2, 5, 20, 60])
@pytest.mark.parametrize("ticks", [1, 4, 24, 200])
def test_measuring_takes_a_fifth_of_the_time_and_the_last_tick(
    tmp_path: Path, slow: int, ticks: int
) -> None:
    loop, _, step = make(tmp_path, minutes=0.01, ticks=ticks)  # 600 of the clock's milliseconds
    at: list[int] = []

    def tick() -> tuple[float, dict[str, float]]:
        at.append(loop.progress.steps)
        for _ in range(slow):
            loops.time.perf_counter()
        return 0.0, {"score": 0.0}

    loop.run(step, tick)
    took = (slow + 1) / 1000
    progress = loop.progress
    assert progress.measuring == pytest.approx(len(at) * took, abs=0.003 * len(at))
    assert loop.record()["measuring_seconds"] == round(progress.measuring, 1)
    assert progress.measuring <= progress.seconds / 5 + 2 * (took + 0.003)
    assert at[-1] == progress.steps  # nothing was trained since
    if 5 * took * ticks < 0.4:  # then all fit
        assert len(at) == ticks


@pytest.mark.parametrize("budget", ["minutes", "kimg"])
def test_the_first_tick_does_not_take_the_budget_either(tmp_path: Path, budget: str) -> None:
    """It is expected to take half of the minutes, so all of them are trained for."""
    loop, _, step = make(tmp_path, ticks=4, **({"kimg": 0.24} if budget == "kimg" else {}))
    whole = 60 if budget == "kimg" else round(60_000 * loop.request.minutes)
    steps = []

    def tick() -> tuple[float, dict[str, float]]:
        steps.append(loop.progress.steps)
        for _ in range(whole // 2):  # of the clock's milliseconds
            loops.time.perf_counter()
        return 0.0, {"score": 0.0}

    loop.run(step, tick, whole / 2000)
    assert len(steps) == (4 if budget == "kimg" else 1)
    assert loop.fraction == 1.0
    assert steps[-1] == loop.progress.steps


def test_the_best_is_there_before_a_checkpoint_speaks_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _, step = make(tmp_path, kimg=0.03, ticks=1)
    written: list[str] = []
    usual = loops.write_checkpoint

    def write(path: Path, content: Any) -> None:
        written.append(path.name)
        usual(path, content)

    monkeypatch.setattr(loops, "write_checkpoint", write)
    loop.run(step, lambda: (1.0, {"score": 1.0}))
    assert written.index(BEST) < written.index(loops.CHECKPOINT, 1)


def test_a_resumed_run_keeps_its_ticks(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, kimg=0.03, ticks=5)
    loop.run(step, lambda: (1.0, {"score": 1.0}))
    more, _, step = make(tmp_path, kimg=0.06, ticks=10, resume=True)
    more.run(step, lambda: (0.5, {"score": 0.5}))
    assert [row["score"] for row in more.record()["ticks"]] == [1.0] * 5 + [0.5] * 5
    assert more.progress.best == 1.0


def test_a_larger_budget_has_ticks_to_come(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, kimg=0.03, ticks=5)
    loop.run(step, lambda: (1.0, {"score": 1.0}))
    more, _, step = make(tmp_path, kimg=0.06, ticks=5, resume=True)
    at = []
    more.run(step, lambda: (float(bool(at.append(more.progress.images))), {"score": 0.0}))
    assert at == [36, 48, 60]


Tick = Callable[[], tuple[float, dict[str, float]]]


def measuring(loop: Loop, at: list[int]) -> Tick:
    """Measurements that follow from where the training is, and say so in its events, too."""

    def tick() -> tuple[float, dict[str, float]]:
        loop.note(f"an alarm at {loop.progress.images}")
        at.append(loop.progress.images)
        score = SCORES[loop.progress.images // 12 % len(SCORES)]
        return score, {"score": score}

    return tick


def outcome(loop: Loop) -> dict[str, Any]:
    """What a training has to show for its ticks, clocks aside."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in loop.record()["ticks"]]
    best = read_checkpoint(loop.request.out / BEST)["progress"]
    texts = [event["text"] for event in loop.events]
    return {"rows": rows, "best": (best["images"], best["best"]), "alarms": texts}


def trained(out: Path, **changes: Any) -> dict[str, Any]:
    """What an uninterrupted training has to show."""
    loop, _, step = make(out, **changes)
    loop.run(step, measuring(loop, []))
    return outcome(loop)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("where", ["before", "after", "as it is written"])
@pytest.mark.parametrize(("ticks", "which"), [(1, 1), *((5, n) for n in range(1, 6))])
def test_a_measurement_that_is_broken_off_is_made_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticks: int, which: int, where: str
) -> None:
    """By a second Ctrl-C; whichever it is, the ticks are those of an uninterrupted training."""
    asked: dict[str, Any] = {"kimg": 0.06, "ticks": ticks}
    whole = trained(tmp_path / "whole", **asked)
    loop, _, step = make(tmp_path / "out", **asked)
    at: list[int] = []
    measure, write = measuring(loop, at), loops.write_checkpoint

    def press_twice(here: str, measured: int) -> None:
        if (here, measured) == (where, len(at)) and not loop._asked:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)

    def broken_off() -> tuple[float, dict[str, float]]:
        press_twice("before", which - 1)
        found = measure()
        press_twice("after", which)
        return found

    def writing(path: Path, content: Any) -> None:
        press_twice("as it is written", which)
        write(path, content)

    monkeypatch.setattr(loops, "write_checkpoint", writing)
    with pytest.raises(KeyboardInterrupt):
        loop.run(step, broken_off)
    resumed_at: list[int] = []
    more, net, step = make(tmp_path / "out", **asked, resume=True)
    more.run(step, measuring(more, resumed_at))
    assert resumed_at[0] == 60 // ticks * which
    assert outcome(more) == whole
    assert (more.progress.images, net.weight.item()) == (60, 20.0)
    assert make(tmp_path / "out", **asked, resume=True)[0].progress.unmeasured is False


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("which", range(1, 6))
@pytest.mark.parametrize("where", ["step", "tick", "save"])
def test_one_ctrl_c_ends_it_wherever_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int, where: str
) -> None:
    """After the measurement that runs, in the last one, too; and nothing is lost."""
    asked: dict[str, Any] = {"kimg": 0.06, "ticks": 5}
    whole = trained(tmp_path / "whole", **asked)
    loop, _, step = make(tmp_path / "out", **asked)
    at: list[int] = []
    measure, save = measuring(loop, at), loop.save

    def press(here: str) -> None:
        reached = loop.progress.images >= 12 * which - 3 * (here == "step")
        if here == where and reached and not loop._asked:
            signal.raise_signal(signal.SIGINT)

    def pressed_step() -> tuple[int, dict[str, float]]:
        press("step")
        return step()

    def pressed_tick() -> tuple[float, dict[str, float]]:
        press("tick")
        return measure()

    def pressed_save() -> None:
        save()
        press("save")

    monkeypatch.setattr(loop, "save", pressed_save)
    with pytest.raises(KeyboardInterrupt):
        loop.run(pressed_step, pressed_tick)
    assert at == [12 * (n + 1) for n in range(which)]
    stopped = read_checkpoint(tmp_path / "out" / CHECKPOINT)["progress"]
    assert stopped["images"] == (12 * which if where != "save" or which == 5 else 12 * which + 3)
    more, _, step = make(tmp_path / "out", **asked, resume=True)
    later: list[int] = []
    more.run(step, measuring(more, later))
    assert at + later == [12, 24, 36, 48, 60]
    assert outcome(more) == whole


def test_a_last_tick_that_is_missing_is_made_up_for(tmp_path: Path) -> None:
    """Of a smaller budget than is spent, and of a training that an earlier version stopped."""
    loop, _, step = make(tmp_path, kimg=0.06, ticks=2)

    def stop() -> tuple[int, dict[str, float]]:
        loop._asked = loop.progress.images == 42
        return step()

    with pytest.raises(KeyboardInterrupt):
        loop.run(stop, measuring(loop, []))
    at: list[int] = []
    for _ in range(2):  # once
        less, _, step = make(tmp_path, kimg=0.036, ticks=2, resume=True)
        less.run(step, measuring(less, at))
        assert at == [45]
    assert [row["kimg"] for row in less.record()["ticks"]] == [0.03, 0.04]


def test_a_measurement_broken_off_at_the_end_of_a_smaller_budget_is_no_tick_of_a_larger_one(
    tmp_path: Path,
) -> None:
    loop, _, step = make(tmp_path, kimg=0.03, ticks=1)

    def broken_off() -> tuple[float, dict[str, float]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(step, broken_off)
    at: list[int] = []
    more, _, step = make(tmp_path, kimg=0.06, ticks=1, resume=True)
    more.run(step, measuring(more, at))
    assert at == [60]
