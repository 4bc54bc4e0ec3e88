"""What every training shares: budget, log, checkpoints, going on, and what ends it."""

from __future__ import annotations

import errno
import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loop_helpers import count_milliseconds, ctrl_c_is_heard, make, request

from gandiff.common.errors import RequestError, environment_failure
from gandiff.experiments.runs import store
from gandiff.experiments.training import loop as loops
from gandiff.experiments.training.averaging import Ema, cosine, norm, set_lr, to_tensor
from gandiff.experiments.training.checkpoints import (
    CHECKPOINT,
    read_checkpoint,
    write_checkpoint,
)
from gandiff.experiments.training.checks import check_request
from gandiff.experiments.training.identity import stated_options
from gandiff.experiments.training.loop import Loop, NonFiniteError
from gandiff.experiments.training.progress import LOG
from gandiff.experiments.training.records import write_json

ctrl_c = ctrl_c_is_heard


@pytest.fixture(autouse=True)
def _every_step_takes_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    count_milliseconds(monkeypatch)


def test_it_ends_when_the_budget_is_spent(tmp_path: Path) -> None:
    loop, net, step = make(tmp_path / "deep" / "out")
    loop.run(step)
    assert loop.fraction == 1.0
    assert loop.progress.steps in (60, 61)  # of a budget of 0.06 seconds
    assert loop.progress.images == 3 * loop.progress.steps == 3 * net.weight.item()
    again = loop.progress.steps
    loop.run(step)
    assert loop.progress.steps == again  # nothing is left to spend


def test_it_logs_and_keeps_a_curve(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path)
    (tmp_path / LOG).write_text("of an older training\n")
    loop, _, step = make(tmp_path)
    loop.run(step)
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert rows == loop.log.curve
    assert set(rows[-1]) == {"seconds", "kimg", "loss"}
    assert 0 < rows[-1]["loss"] <= 1


def test_the_record_says_what_was_done(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, seed=7, command="gandiff train toy --seed 7")
    loop.run(step)
    loop.log.curve = [{"seconds": float(i)} for i in range(600)]
    record = loop.record(extra=1)
    assert json.loads(json.dumps(record)) == record
    assert (record["command"], record["seed"]) == ("gandiff train toy --seed 7", 7)
    assert (record["images"], record["steps"]) == (loop.progress.images, loop.progress.steps)
    assert record["extra"] == 1
    assert len(record["curve"]) <= 60
    assert record["cpu"]


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, command="gandiff train toy")
    loop.run(step)
    before = (
        loop.progress.seconds,
        loop.progress.images,
        loop.progress.steps,
        list(loop.log.curve),
    )
    again = "gandiff train toy --minutes 0.002 --resume"
    more, net, step = make(tmp_path, resume=True, minutes=0.002, command=again)
    assert (
        more.progress.seconds,
        more.progress.images,
        more.progress.steps,
        more.log.curve,
    ) == before
    assert net.weight.item() == loop.progress.steps
    assert 0 < more.fraction < 1
    more.run(step)
    assert more.progress.steps > loop.progress.steps
    assert net.weight.item() == more.progress.steps
    assert more.record()["resumed"] == 1
    behind = {"images": before[1], "seconds": round(before[0], 1)}
    options = stated_options(request(tmp_path))
    first = {"command": "gandiff train toy", "images": 0, "seconds": 0.0, "options": options}
    assert more.record()["commands"] == [first, {"command": again, **behind, "options": options}]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_saves(tmp_path: Path) -> None:
    loop, net, step = make(tmp_path, minutes=10.0)

    def interrupted() -> tuple[int, dict[str, float]]:
        if loop.progress.steps == 4:
            signal.raise_signal(signal.SIGINT)
        return step()

    with pytest.raises(KeyboardInterrupt):
        loop.run(interrupted)
    more, net, _ = make(tmp_path, minutes=10.0, resume=True)
    assert (more.progress.steps, more.progress.images, net.weight.item()) == (5, 15, 5.0)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_leaves_no_half_step_behind(tmp_path: Path) -> None:
    loop, net, step = make(tmp_path, minutes=10.0)

    def broken_off() -> tuple[int, dict[str, float]]:
        if loop.progress.steps == 5:
            net.weight.add_(100)  # half of what the step does
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
        if loop.progress.steps == 3:
            loop.save()
        return step()

    with pytest.raises(KeyboardInterrupt):
        loop.run(broken_off)
    more, net, _ = make(tmp_path, minutes=10.0, resume=True)
    assert (more.progress.steps, net.weight.item()) == (3, 3.0)


def test_checkpoints_are_written_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_CHECKPOINT_SECONDS", 0.0125)
    saved = []
    monkeypatch.setattr(Loop, "save", lambda self: saved.append(self.progress.seconds))
    loop, _, step = make(tmp_path)
    loop.run(step)
    assert saved == pytest.approx([0.0, 0.013, 0.026, 0.039, 0.052, 0.06], abs=0.0021)
    assert saved[-1] == loop.progress.seconds


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _, step = make(tmp_path)
    loop.run(step)
    old = (tmp_path / loops.CHECKPOINT).read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failed:
        loop.save()
    assert "the disk is full" in str(environment_failure(failed.value))
    assert (tmp_path / loops.CHECKPOINT).read_bytes() == old


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_losses_that_stay_not_finite_end_it(tmp_path: Path, bad: float) -> None:
    loop, _, step = make(tmp_path)

    def diverging() -> tuple[int, dict[str, float]]:
        shown, losses = step()
        return shown, losses | {"g_loss": bad if loop.progress.steps == 2 else 1.0}

    says = rf"training the toy became non-finite \(g_loss = {bad}\) after 6 images; continue from"
    with pytest.raises(RequestError, match=says) as ended:
        loop.run(diverging)
    assert "\n" not in str(ended.value)
    assert "or start again in another --out with another --seed" in str(ended.value)
    assert loop.progress.rollbacks == 3


def test_a_batch_that_breaks_it_is_gone_back_from_and_passed_over(tmp_path: Path) -> None:
    loop, net, step = make(tmp_path)
    met = []

    def fragile() -> tuple[int, dict[str, float]]:
        met.append(loop.progress.position)
        if loop.progress.position == 9:
            net.weight.fill_(math.nan)
            raise NonFiniteError("norm of the gradient = nan")
        return step()

    loop.run(fragile)
    assert loop.fraction == 1.0
    assert met.count(9) == 1
    assert met[3:6] == [9, 12, 15]
    assert loop.progress.rollbacks == 1
    assert loop.progress.skipped == 9 + 3  # what was shown since, and the step that broke
    assert net.weight.item() == loop.progress.steps
    record = loop.record()
    assert record["rollbacks"] == 1
    assert "norm of the gradient = nan" in record["events"][0]["text"]
    assert "went back to 0.0 kimg" in record["events"][0]["text"]


def test_before_any_checkpoint_there_is_no_way_back(tmp_path: Path) -> None:
    loop, _, _ = make(tmp_path)
    loop.progress.steps = 1  # as if the first checkpoint had been lost
    with pytest.raises(RequestError, match=r"became non-finite \(loss = nan\) .*; start again"):
        loop.run(lambda: (1, {"loss": math.nan}))


def test_a_budget_in_images_ends_at_the_image(tmp_path: Path) -> None:
    loop, _, step = make(tmp_path, kimg=0.03)
    assert loop.fraction == 0
    loop.run(step)
    assert (loop.progress.images, loop.progress.steps, loop.fraction) == (30, 10, 1.0)


def test_norm_is_that_of_all_together() -> None:
    parts = [torch.tensor([3.0]), torch.tensor([[4.0], [12.0]])]
    assert norm(parts) == pytest.approx(13)
    assert norm([]) == 0
    assert math.isnan(norm([torch.tensor([math.nan]), torch.ones(2)]))


def test_nothing_to_go_on_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--resume found no checkpoint\.pt in .*start without"):
        make(tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    make(tmp_path, label="GAN")[0].save()
    with pytest.raises(RequestError, match="is a checkpoint of 'GAN', not of 'toy'; give another"):
        make(tmp_path, resume=True)


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    other = torch.nn.Linear(3, 3)
    Loop(request(tmp_path), "toy", {"net": other}).save()
    with pytest.raises(RequestError, match="does not fit the toy asked for; use the --resolution"):
        make(tmp_path, resume=True)
    Loop(request(tmp_path), "toy", {"other": other}).save()
    with pytest.raises(RequestError, match="does not fit the toy asked for"):
        make(tmp_path, resume=True)


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    make(tmp_path, resolution=16)[0].save()
    with pytest.raises(RequestError, match="is of a training with --resolution 16, not 32; give"):
        make(tmp_path, resume=True)
    saved = read_checkpoint(tmp_path / CHECKPOINT)
    del saved["asked"]["resolution"]  # as earlier versions wrote it
    write_checkpoint(tmp_path / CHECKPOINT, saved)
    make(tmp_path, resume=True)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    make(tmp_path)[0].save()
    path = tmp_path / loops.CHECKPOINT
    whole = path.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(RequestError, match=r"checkpoint\.pt is no checkpoint that can be read"):
            make(tmp_path, resume=True)
    torch.save({"weights": 1}, path)
    with pytest.raises(RequestError, match="is not a checkpoint of gandiff"):
        make(tmp_path, resume=True)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"label": "toy", "progress": {}, "state": Harm()}, tmp_path / loops.CHECKPOINT)
    with pytest.raises(RequestError, match="is no checkpoint that can be read"):
        make(tmp_path, resume=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"minutes": 0.0}, "--minutes must be above 0, got 0.0"),
        ({"minutes": -1.0}, "--minutes must be above 0, got -1.0"),
        ({"minutes": math.nan}, "--minutes must be above 0, got nan"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"kimg": 0.0}, "--kimg must be above 0, got 0.0"),
        ({"batch_size": 6, "accumulate": 4}, "--batch-size 6 does not divide into 4 parts"),
        ({"accumulate": 0}, "--accumulate must be at least 1, got 0"),
        ({"processes": 0}, "--processes must be at least 1, got 0"),
        ({"keep": 0}, "--keep must be at least 1, got 0"),
        ({"device": "gpu"}, "no device is named 'gpu'"),
        ({"device": "mps"}, "device 'mps' is not on this machine, where torch sees cpu; use cpu"),
        ({"resume": True}, "--resume found no checkpoint.pt in"),
    ],
)
def test_requests_that_cannot_work_are_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError) as refused:
        check_request(request(tmp_path / "out", **changes), "state/checkpoint.pt", "checkpoint.pt")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    if "minutes" in changes:
        with pytest.raises(RequestError, match="--minutes must be above 0"):
            make(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_the_result(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(RequestError, match=r"--out .*out is a file; give a folder"):
        check_request(request(tmp_path / "out"))


def test_one_checkpoint_of_several_is_enough(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "checkpoint.pt").touch()
    check_request(request(tmp_path, resume=True), "state/checkpoint.pt", "checkpoint.pt")


def test_the_average_forgets_by_half_in_its_half_life() -> None:
    net = torch.nn.Linear(1, 1).requires_grad_(False)
    net.register_buffer("seen", torch.zeros(()))
    net.weight.fill_(0.0)
    ema = Ema(net, halflife_images=100.0)
    net.weight.fill_(1.0)
    net.seen.fill_(3.0)
    for _ in range(10):
        ema.update(net, batch=10, images=10**6)
    assert ema.module.weight.item() == pytest.approx(0.5, rel=1e-5)
    assert ema.module.seen.item() == 3.0
    early = Ema(net, halflife_images=100.0)
    net.weight.fill_(2.0)
    early.update(net, batch=10, images=200)  # a half-life of ten images while few were seen
    assert early.module.weight.item() == pytest.approx(1.5, rel=1e-5)


def test_schedules_and_small_things(tmp_path: Path) -> None:
    assert [cosine(f, 3.0, 1.0) for f in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([3, 2, 1, 1])
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "scale": 0.1}], lr=1.0)
    set_lr(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    pixels = np.array([[[[0, 127, 255]]]], np.uint8)
    found = to_tensor(pixels, "cpu")
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == pytest.approx([-1, 127 / 127.5 - 1, 1])
    write_json(tmp_path / "a.json", {"a": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
