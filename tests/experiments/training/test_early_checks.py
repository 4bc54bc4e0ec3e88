"""What a training refuses before it writes anything, and that it opens and says things once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from training_helpers import read, request

from gandiff.common.errors import RequestError
from gandiff.experiments.data import captioned as datasets
from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.training.checks import (
    check_data,
    check_monitor,
    check_request,
    open_checked,
)
from gandiff.experiments.training.gan import train as gan
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.generators.ticks import no_tick
from gandiff.experiments.training.ranks import Ranks
from gandiff.experiments.training.request import chosen_device


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """Four captioned pictures, and one that cannot be read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.txt").write_text(f"number {i}", encoding="utf-8")
        Image.new("RGB", (16, 16), (40 * i, 0, 0)).save(folder / f"{i}.png")
    (folder / "4.png").write_bytes(b"no picture")
    return str(folder)


class ItTrains(Exception):
    """The networks are made: everything was allowed."""


@pytest.fixture(autouse=True)
def _no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> None:
        raise ItTrains

    monkeypatch.setattr(gan, "GanTrainer", train)


def small(out: Path, data: str, **changes: Any) -> Any:
    return request(out, data=data, **{"resolution": 16, **changes})


GUIDES = {
    "scenes": "the scene CLIP judges and must not guide",
    "nothing/none": "--guidance nothing/none: open_clip has no model 'nothing'",
    "ViT-B-32/opnai": "did you mean 'openai'?",
    "local-dir:nowhere": "--guidance local-dir:nowhere: nowhere is no open_clip model",
}


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_that_cannot_be_is_refused_first(pictures: str, tmp_path: Path, guide: str) -> None:
    with pytest.raises(RequestError) as refused:
        gan.train(small(tmp_path / "out", pictures), GanRecipe(guidance=guide))
    assert GUIDES[guide] in str(refused.value)
    assert not (tmp_path / "out").exists()


MONITORS = {
    "inceptoin": "--monitor inceptoin: there is no encoder 'inceptoin'",
    "lpips": "--monitor lpips: it is a distance between two images and has no features",
    "dinov2:nowhere/none": "--monitor dinov2:nowhere/none: cannot load DINOv2",
}


@pytest.mark.parametrize("monitor", MONITORS)
def test_an_encoder_that_cannot_measure_is_refused_first(
    pictures: str, tmp_path: Path, monitor: str
) -> None:
    with pytest.raises(RequestError) as refused:
        gan.train(small(tmp_path / "out", pictures, monitor=monitor))
    assert MONITORS[monitor] in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_scenes_of_the_judges_size_are_measured_by_a_judge(tmp_path: Path) -> None:
    asked = request(tmp_path / "out", monitor="inception")
    with pytest.raises(RequestError, match="--monitor inception: scenes at 32 px are measured by"):
        gan.train(asked)
    assert not (tmp_path / "out").exists()
    check_monitor(request(tmp_path, monitor="scenes"))  # which is what measures them
    check_monitor(request(tmp_path, monitor="inception", resolution=64))


@pytest.mark.parametrize("kind", ["gan", "diffusion", "text"])
def test_a_seed_that_does_not_fit_is_refused_first(
    pictures: str, tmp_path: Path, kind: str
) -> None:
    from importlib import import_module

    train = import_module(f"gandiff.experiments.training.{kind}.train").train
    for seed in (1 << 32, -1):
        with pytest.raises(
            RequestError, match=f"--seed must be between 0 and 4294967295, got {seed}"
        ):
            train(small(tmp_path / "out", pictures, seed=seed))
    assert not (tmp_path / "out").exists()


def test_the_largest_seed_works(pictures: str, tmp_path: Path) -> None:
    asked = small(tmp_path / "out", pictures, seed=(1 << 32) - 1)
    check_request(asked)
    assert FileImages(Path(pictures), 16, asked.seed).batch(0, 2).captions


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_gpus_that_cannot_be_used_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's library counts them also where torch cannot start on them."""
    gpus(monkeypatch, 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        RequestError, match="device 'cuda' is not on this machine, where torch sees cpu; use cpu"
    ):
        check_request(request(tmp_path / "out", device="cuda"))


def test_more_processes_than_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, 1)
    check_request(request(tmp_path / "out", device="cuda"))
    for device in ("cuda", "cuda:0"):
        with pytest.raises(RequestError, match="a GPU of its own, and there is 1; give fewer"):
            check_request(request(tmp_path / "out", device=device, processes=2))


DEVICES = ("cuda:9", "cuda:x", "cpu:1", "mps")


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_is_not_there_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    gpus(monkeypatch, 2)
    check_request(request(tmp_path / "out", device="cuda:1"))
    with pytest.raises(RequestError) as refused:
        gan.train(request(tmp_path / "out", device=device))
    assert str(refused.value) == (
        f"device {device!r} is not on this machine, where torch sees cpu, cuda:0, cuda:1; "
        "use one of these"
    )


def test_several_processes_on_mps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    check_request(request(tmp_path / "out", device="mps"))
    with pytest.raises(
        RequestError,
        match=r"--processes 2 --device mps: several processes .* give --processes 1, or --device",
    ):
        gan.train(request(tmp_path / "out", device="mps", processes=2))


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, found in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert (chosen_device("auto"), chosen_device("mps")) == (found, "mps")


def test_pictures_are_opened_once(
    pictures: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = []
    usual = datasets.decode
    monkeypatch.setattr(datasets, "decode", lambda *a: (opened.append(a), usual(*a))[1])
    with pytest.raises(ItTrains):
        gan.train(small(tmp_path / "out", pictures))
    assert len(opened) == 1
    assert capsys.readouterr().err.count("1 of 5 images could not be read") == 1


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ranks of two processes that meet nobody; what they did, in order."""
    done: list[str] = []
    usual = datasets.decode

    def broadcast(self: Ranks, *values: float) -> list[float]:
        done.append("broadcast")
        return [1.0] if values == (0.0,) else list(values)  # all goes well

    def decode(*arguments: Any) -> Any:
        done.append("open")
        return usual(*arguments)

    monkeypatch.setattr(Ranks, "broadcast", broadcast)
    monkeypatch.setattr(datasets, "decode", decode)
    return done


def test_of_several_processes_the_first_opens_first_and_speaks(
    pictures: str, tmp_path: Path, two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = small(tmp_path / "out", pictures, processes=2)
    first = open_checked(asked, Ranks(0, 2))
    assert two == ["open", "broadcast"]
    assert "could not be read" in capsys.readouterr().err
    second = open_checked(asked, Ranks(1, 2))
    assert two == ["open", "broadcast", "broadcast", "open"]  # it waited for the first
    assert capsys.readouterr().err == ""
    assert second.captions(9) == first.captions(9)


def test_of_several_processes_the_first_alone_measures_and_reads(
    pictures: str, tmp_path: Path, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    monkeypatch.setattr(gan, "open_monitor", lambda *_: measured.append(1))
    asked = small(tmp_path / "out", pictures, processes=2)
    for rank, watches in ((0, 1), (1, 1)):
        with pytest.raises(ItTrains):
            gan.train_networks(asked, Ranks(rank, 2), GanRecipe())
        assert len(measured) == watches
    with pytest.raises(AssertionError, match="only the first process measures"):
        no_tick()


def test_the_others_learn_that_the_first_failed(
    pictures: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, ...]] = []

    def broadcast(self: Ranks, *values: float) -> list[float]:
        told.append(values)
        return [0.0]

    monkeypatch.setattr(Ranks, "broadcast", broadcast)
    asked = small(tmp_path / "out", pictures, processes=2, batch_size=6)
    with pytest.raises(RequestError, match="has 4 images, fewer than a batch of 6"):
        open_checked(asked, Ranks(0, 2))
    assert told == [(0.0,)]
    with pytest.raises(SystemExit) as ended:  # not an error of its own
        open_checked(asked, Ranks(1, 2))
    assert ended.value.code is None


def test_what_starts_processes_looks_without_opening(
    pictures: str, tmp_path: Path, two: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(pictures) / "0.txt").unlink()
    check_data(small(tmp_path / "out", pictures, processes=2))
    assert two == []
    assert capsys.readouterr().err == ""
    for data, says in (("nowhere", "nowhere is not a folder"), ("scenes", "--seed must be from")):
        with pytest.raises(RequestError, match=says):
            gan.train(small(tmp_path / "out", data, processes=2, seed=5000))
    assert not (tmp_path / "out").exists()


def two_processes(data: str, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    line = "train gan --resolution 16 --kimg 0.016 --ticks 1 --dtype float32 --processes 2 --quiet"
    code = "import sys; from gandiff.experiments.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *line.split(), "--data", data, "--out", str(out), *more],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_two_processes_say_everything_once(pictures: str, tmp_path: Path) -> None:
    (Path(pictures) / "0.txt").write_text("rope " * 40, encoding="utf-8")
    done = two_processes(pictures, tmp_path / "out", "--batch-size", "4")
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.split(" images ")[0] for line in warnings[:1]] == ["warning: 1 of 5"]
    assert warnings[1:] == [
        "warning: 1 of 4 captions is longer than the 32 tokens that the text encoder reads; "
        "its end is cut"
    ]
    record = read(tmp_path / "out")
    assert (record["images"], record["processes"], record["finished"]) == (16, 2, True)
    assert record["text"]["captions"] == {"count": 4, "cut": 1, "tokens": 32}


def test_what_the_first_of_two_processes_refuses_is_one_line(pictures: str, tmp_path: Path) -> None:
    done = two_processes(pictures, tmp_path / "out", "--batch-size", "6")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert said == [
        f"error: {pictures} has 4 images, fewer than a batch of 6; add images or lower --batch-size"
    ]
    assert not (tmp_path / "out").exists()
