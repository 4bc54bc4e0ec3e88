"""Weights of encoders for a run: from its file, from --weights, from Python; without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
from run_helpers import record, write_comparison

import gandiff
from gandiff.common.errors import RequestError
from gandiff.common.files import PACKAGE, file_sha256
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.types import comparison_to_dict

CLIP = (
    PACKAGE / "evaluate/pretrained/scene-clip"
).resolve()  # an open_clip folder, and a small one
METRICS = ["fid", "clip_score"]


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights of this machine are taken for those that a test gives."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch"))
    monkeypatch.setattr("gandiff.evaluate.extractors.clip._CACHE", tmp_path / "no-clip")


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_toy_inception(tmp_path_factory.mktemp("weights") / "inception.pth")


@pytest.fixture
def here(tmp_path: Path, inception: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A comparison that needs both encoders, with the weights in the folder ``nets``."""
    toys.save_toy_images(tmp_path / "real", [f"{i}.png" for i in range(5)])
    (tmp_path / "nets").mkdir()
    shutil.copy(inception, tmp_path / "nets")
    write_comparison(tmp_path, 3, metrics=METRICS, reference={"folder": "real"}, timing="off")
    monkeypatch.chdir(tmp_path / "nets")
    return tmp_path


def grains(prompts: list[str], seeds: list[int]) -> np.ndarray:
    return np.stack([np.random.default_rng(s).integers(0, 255, (8, 8, 3), np.uint8) for s in seeds])


def results(run: Path) -> pd.DataFrame:
    rows = pd.read_parquet(run / "results.parquet")
    return rows[rows.metric.str.match("fd|clip")]


def values(run: Path) -> list[float]:
    table = results(run)
    assert len(table) == 4
    assert not table.value.isna().any(), table.note
    return list(table.value)


def run(here: Path, *words: str, name: str = "run") -> int:
    return main(["run", str(here / "toys.yaml"), "--out", str(here / name), "-q", *words])


BOTH = ("--weights", "inception=inception.pth", "--weights", f"clip={CLIP}")


def test_weights_come_from_the_file_or_the_command(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(here) == 2
    assert "FID weights are missing" in capsys.readouterr().err
    assert not (here / "run").exists()
    assert run(here, *BOTH) == 0
    expected = values(here / "run")
    protocols = [json.loads(text) for text in results(here / "run").protocol]
    hashes = {p["weights_sha256"] for p in protocols}
    assert file_sha256(here / "nets" / "inception.pth") in hashes
    assert file_sha256(CLIP / "open_clip_model.safetensors") in hashes
    recorded = {"inception": str(here / "nets" / "inception.pth"), "clip": str(CLIP)}
    assert record(here / "run")["comparison"]["encoders"] == recorded

    encoders = {"inception": "nets/inception.pth", "clip:ViT-B-32/openai": str(CLIP)}
    more = {"metrics": METRICS, "reference": {"folder": "real"}, "timing": "off"}
    write_comparison(here, 3, encoders=encoders, **more)
    assert run(here, name="from-file") == 0
    assert values(here / "from-file") == expected


def test_a_run_is_measured_later_resumed_and_reported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "run"
    assert main(["generate", str(here / "toys.yaml"), "--out", str(folder), "-q"]) == 0
    assert main(["score", str(folder), "-q"]) == 2
    assert main(["score", str(folder), "-q", *BOTH]) == 0
    first = values(folder)
    tables = [folder / f"{name}.parquet" for name in ("results", "scores", "differences")]
    written = [table.stat().st_mtime_ns for table in tables]
    assert main(["report", str(folder), "-q"]) == 0
    assert main(["run", str(folder), "-q"]) == 0
    assert main(["score", str(folder), "-q", *BOTH]) == 0
    assert [table.stat().st_mtime_ns for table in tables] == written

    spoiled = bytearray((here / "nets" / "inception.pth").read_bytes())
    (here / "nets" / "inception.pth").write_bytes(bytes(spoiled[: len(spoiled) // 2]))
    assert main(["run", str(folder), "-q"]) in (1, 2)
    assert "inception" in capsys.readouterr().err
    assert main(["report", str(folder), "-q"]) == 0
    (here / "nets" / "inception.pth").unlink()
    capsys.readouterr()
    assert main(["run", str(folder), "-q"]) == 2
    assert "no weights for the encoder inception" in capsys.readouterr().err
    assert main(["report", str(folder), "-q"]) == 0
    assert first == values(folder)


def test_validate_looks_weights_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(here / "toys.yaml")
    assert main(["validate", file]) == 0
    assert "FID weights are missing" in capsys.readouterr().err
    assert main(["validate", file, *BOTH]) == 0
    assert capsys.readouterr().err == ""
    assert main(["validate", file, *BOTH, "--weights", "lpips=inception.pth"]) == 0
    assert "encoders.lpips: no metric reads these weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoders", "said"),
    [
        ({"inception": "nowhere.pth"}, "toys.yaml:"),
        ({"inception": "nowhere.pth"}, r"encoders.inception: there are no weights at"),
        ({"incepton": "nets"}, "encoders.incepton: there is no encoder 'incepton'; did you mean"),
        ({"inception": 3}, "encoders.inception: must be text, got 3"),
        ([1], "encoders: must be a mapping"),
        ({"inception": ""}, "encoders.inception: there are no weights"),
    ],
)
def test_wrong_places_are_refused(here: Path, encoders: object, said: str) -> None:
    more = {"metrics": METRICS, "reference": {"folder": "real"}}
    file = write_comparison(here, 3, encoders=encoders, **more)
    with pytest.raises(RequestError, match=said):
        load_comparison(file)


def test_a_wrong_option_names_itself(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(here, "--weights", "inception=gone.pth") == 2
    said = capsys.readouterr().err
    assert "--weights: encoders.inception: there are no weights at" in said
    assert run(here, "--weights", "inception") == 2
    assert "write ENCODER=FILE" in capsys.readouterr().err
    assert not (here / "run").exists()


def test_weights_that_no_metric_reads_are_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--set", "metrics=['vendi(encoder=scenes)']", "--weights", "inception=inception.pth")
    assert run(here, *small) == 0
    said = capsys.readouterr().err
    assert "encoders.inception: no metric reads these weights; the metrics use scenes" in said


def test_python_takes_weights(here: Path) -> None:
    summary = gandiff.compare(
        generators={"toy": grains},
        suite=["a star", "a ring", "a heart"],
        metrics=["fid"],
        reference={"folder": str(here / "real")},
        encoders={"inception": "inception.pth"},
        out=here / "python",
        quiet=True,
    )
    assert summary.problems == []
    assert record(here / "python")["comparison"]["encoders"]["inception"].endswith("inception.pth")


def test_runs_without_weights_are_recorded_as_before() -> None:
    assert "encoders" not in comparison_to_dict(load_comparison("scenes"))
