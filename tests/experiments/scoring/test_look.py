"""What ``gandiff validate`` looks up, and a run before its first image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import toys
from run_helpers import TOY, images, make, write_comparison

from gandiff.evaluate.features import weights
from gandiff.experiments.api import build
from gandiff.experiments.cli import main

FOLDER = {"mine": {"type": "folder", "folder": "images"}}


def validate(file: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["validate", str(file), *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_everything_that_is_there_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.save_toy_images(tmp_path / "images", [f"{i}_{s}.png" for i in range(1, 5) for s in (0, 1)])
    toys.save_toy_images(tmp_path / "real", [f"{i}.png" for i in range(7)])
    file = write_comparison(
        tmp_path,
        4,
        generators=FOLDER,
        metrics=["fd(encoder=scenes)"],
        reference={"folder": "real", "images": 30},
    )
    code, out, err = validate(file, capsys)
    assert code == 0
    assert "is valid: mine" in out
    assert "prompts: 4 of prompts" in out
    assert "reference: 7 images" in out
    assert "mine: 8 of 8 images found" in out
    assert err == "warning: reference.images: 30 asked for, 7 are there\n"
    _, out, _ = validate(file, capsys, "--json")
    checks = json.loads(out)["checks"]
    assert "mine: 8 of 8 images found" in "\n".join(checks["facts"])
    assert len(checks["warnings"]) == 1
    assert not (tmp_path / "runs").exists()


def test_files_of_folders_are_looked_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"astronaut-{i:02d}" for i in range(60)]
    toys.save_toy_images(tmp_path / "images", [f"{id_}.jpg" for id_ in ids])
    (tmp_path / "p.csv").write_text("id,prompt\n" + "".join(f"{i},text {i}\n" for i in ids))
    file = write_comparison(
        tmp_path, 2, suite="p.csv", generators=FOLDER, samples_per_prompt=1, metrics=[]
    )
    code, _, err = validate(file, capsys)
    assert code == 2
    assert "generators.mine.pattern: 0 of 60 images found" in err
    assert "expected astronaut-00_0, nearest is astronaut-00.jpg" in err
    assert "pattern '{prompt_id}' would find 60" in err
    code, _, err = validate(file, capsys, "--set", "generators.mine.pattern='{prompt_id}'")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"suite": "short.txt"}, "there is no prompt file"),
        ({"suite": "broken.csv"}, "broken.csv"),
        ({"generators": {"m": {"type": "folder", "folder": "empty"}}}, "holds no image files"),
        ({"reference": {"folder": "empty"}, "metrics": ["fd(encoder=scenes)"]}, "reference.folder"),
        (
            {"metrics": ["clip_score(model=local-dir:nowhere)"]},
            "metrics.0: nowhere is no open_clip",
        ),
    ],
)
def test_what_a_run_would_refuse_is_refused(
    changes: dict[str, Any], says: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / "empty").mkdir()
    (empty_folder / "broken.csv").write_text('prompt\n"not closed\n')
    file = write_comparison(empty_folder, 4, **{"generators": {"toy": {"type": TOY}}, **changes})
    code, _, err = validate(file, capsys)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


TOO_FEW = [
    (["diversity(encoder=scenes)"], 4, 1, "needs 2 images of one prompt"),
    (["kid(encoder=scenes,subset_size=100)"], 4, 2, "draws subsets of 100, but there are 8 images"),
    (["kid(encoder=scenes,subset_size=10)"], 4, 4, "and 9 reference images"),
    (["precision(encoder=scenes,nearest_k=8)"], 4, 2, "needs more than nearest_k = 8 images"),
    (["recall(encoder=scenes,nearest_k=9)"], 8, 2, "nearest_k = 9 reference images"),
    (["vendi(encoder=scenes,n=50)"], 4, 2, "needs 50 images and found 8"),
    (["fd_inf(encoder=scenes)"], 4, 2, "needs at least 5 prompts"),
    (["r_precision(model=scenes,candidates=50)"], 4, 2, "needs 50 different prompts"),
]


@pytest.mark.parametrize(("metrics", "prompts", "samples", "says"), TOO_FEW)
def test_too_few_images_for_a_metric_are_refused(
    metrics: Sequence[str],
    prompts: int,
    samples: int,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toys.save_toy_images(tmp_path / "real", [f"{i}.png" for i in range(9)])
    file = write_comparison(
        tmp_path,
        prompts,
        samples_per_prompt=samples,
        metrics=list(metrics),
        reference={"folder": "real"},
    )
    for command in (["validate", str(file)], ["run", str(file), "--out", str(tmp_path / "run")]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "error: metrics.0: " in error
        assert says in error
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "toy.log").exists()


def test_what_a_limit_makes_too_few_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(
        tmp_path, 30, samples_per_prompt=1, metrics=["vendi(encoder=scenes,n=20)"]
    )
    code, _, err = validate(file, capsys, "--set", "suite.limit=5")
    assert code == 0
    assert err.startswith("warning: metrics.0: ")


def test_prompts_without_facts_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = validate(write_comparison(tmp_path, 4, metrics=["scene_accuracy"]), capsys)
    assert code == 0
    assert "warning: metrics.0: scene_accuracy needs prompts with stated facts" in err


def test_default_metrics_are_those_that_can_be_measured() -> None:
    def chosen(samples: int) -> str:
        settings = {"samples_per_prompt": samples}
        comparison, _ = build({"gan": {"type": "gan"}}, "scenes", None, settings)
        return " ".join(comparison.metrics)

    assert "diversity" in chosen(2)
    assert "diversity" not in chosen(1)
    assert "fd(encoder=scenes)" in chosen(1)


def test_weights_that_are_not_here_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asked = [
        "vendi(encoder=inception)",
        "vendi(encoder=dinov2)",
        "clip_score(model=ViT-B-32/openai)",
    ]
    file = write_comparison(tmp_path, 4, metrics=asked)
    code, _, err = validate(file, capsys)
    assert code == 0
    lines = err.splitlines()
    assert len(lines) == 3
    assert "weights-inception-2015-12-05-6726825d.pth is not there; a run fetches" in lines[0]
    assert "DINOv2 facebook/dinov2-large are missing" in lines[1]
    assert "CLIP model ViT-B-32/openai are missing" in lines[2]
    assert all("a run fetches them from https://" in line for line in lines)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    lines = validate(file, capsys)[2].splitlines()
    assert "a run fetches them" in lines[0]  # not from the hub
    assert all("cannot be fetched (HF_HUB_OFFLINE is set) from" in line for line in lines[1:])


def test_a_run_folder_is_looked_at_as_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(tmp_path, 4, metrics=["vendi(encoder=scenes)"])
    run = make(file)
    before = images(run)
    code, out, err = validate(run, capsys)
    assert (code, err) == (0, "")
    assert "is valid: toy, other" in out
    assert "prompts: 4 of prompts" in out
    code, _, err = validate(run, capsys, "--set", "metrics=['vendi(encoder=scenes,n=50)']")
    assert code == 2
    assert "needs 50 images" in err
    assert images(run) == before


def test_all_problems_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toys.save_toy_images(tmp_path / "images", ["other.png"])
    asked = ["vendi(encoder=scenes,n=50)", "vendi(encoder=dinov2)"]
    code, out, err = validate(
        write_comparison(tmp_path, 4, metrics=asked, generators=FOLDER), capsys
    )
    assert (code, out) == (2, "")
    warning, error = err.splitlines()
    assert warning.startswith("warning: metrics.1: the weights of DINOv2")
    assert "metrics.0: vendi(encoder=scenes,n=50) needs 50 images" in error
    assert "generators.mine.pattern: 0 of 8 images found" in error


@pytest.mark.parametrize("metric", ["vendi(encoder=dinov2)", "clip_score(model=ViT-B-32/openai)"])
def test_a_run_without_network_is_refused_without_waiting(
    metric: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    file = write_comparison(tmp_path, 4, metrics=[metric])
    start = time.perf_counter()
    assert main(["run", str(file), "--out", str(tmp_path / "run"), "-q"]) == 2
    assert time.perf_counter() - start < 60  # the hub's own client waits 25 s for every file
    error = capsys.readouterr().err
    assert "cannot be reached (" in error
    assert "refused" in error
    assert not (tmp_path / "run").exists()


def test_a_server_that_does_not_answer_is_asked_once_and_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket

    monkeypatch.setattr(weights, "_SECONDS", 0.2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        start = time.perf_counter()
        assert weights._no_answer(f"http://127.0.0.1:{deaf.getsockname()[1]}/x") is not None
        assert time.perf_counter() - start < 5


@pytest.mark.slow
def test_a_hundred_thousand_files_are_looked_up_in_seconds(tmp_path: Path) -> None:
    """In a process of its own, without the checks of types that tests switch on."""
    images, count, linked = tmp_path / "images", 100_000, 50_000  # file systems limit links
    for first in range(0, count, linked):
        toys.save_toy_images(images, [f"{first:06d}_0.png"])
        for number in range(first + 1, first + linked):
            os.link(images / f"{first:06d}_0.png", images / f"{number:06d}_0.png")
    rows = "".join(f'{{"file_name": "{i:06d}_0.png", "prompt_id": "{i}"}}\n' for i in range(count))
    (images / "m.jsonl").write_text(rows)
    ids = "".join(f"{i:05d},text {i}\n" for i in range(count))
    (tmp_path / "p.csv").write_text("id,prompt\n" + ids)
    file = write_comparison(
        tmp_path, 2, suite="p.csv", generators=FOLDER, samples_per_prompt=1, metrics=[]
    )
    for words, code in (
        ([], 0),
        (["--set", "generators.mine.mapping=m.jsonl"], 0),
        (
            ["--set", "generators.mine.pattern='{index+1}_{sample}'"],
            2,
        ),  # and a better one is sought
    ):
        start = time.perf_counter()
        command = [sys.executable, "-m", "gandiff", "validate", str(file), *words]
        looked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (looked.returncode, time.perf_counter() - start < 20) == (code, True)
    assert "pattern '{prompt_id}_{sample}' would find 100000" in looked.stderr
