"""A run of a sweep: the points share what is loaded, and give what each of them gives alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import images, record, write_comparison

import gandiff
from gandiff.experiments import api
from gandiff.experiments.cli.app import main
from gandiff.models.diffusion import loading
from gandiff.models.gan.model import TextToImageGan

Loads = list[str]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """What is read from the disk, in order."""
    read: Loads = []
    pipeline, folder = loading.load_pipeline, TextToImageGan.from_folder

    def load_pipeline(*given: Any, **more: Any) -> Any:
        read.append("pipeline")
        return pipeline(*given, **more)

    def from_folder(path: Path) -> TextToImageGan:
        read.append("gan")
        return folder(path)

    monkeypatch.setattr(loading, "load_pipeline", load_pipeline)
    monkeypatch.setattr(TextToImageGan, "from_folder", from_folder)
    return read


def grains(prompts: list[str], seeds: list[int]) -> np.ndarray:
    return np.stack([np.random.default_rng(s).integers(0, 255, (8, 8, 3), np.uint8) for s in seeds])


def sweeping(folder: Path, pipeline: Path, gan: Path, **changes: Any) -> Path:
    """Two sweeps that the file has in turns with one another."""
    plain = {"type": "diffusers", "pipeline": str(pipeline), "guidance_scale": 1.0}
    generators = {
        "sd": {**plain, "sweep": {"scheduler": ["ddim", "euler"], "num_inference_steps": [2]}},
        "gan": {"type": "gan", "weights": str(gan), "sweep": {"truncation_psi": [0.5, 1]}},
        "twice": {**plain, "num_inference_steps": 3},
    }
    report = {"trace_prompts": 0}
    return write_comparison(
        folder, 2, generators=generators, report=report, timing="off", **changes
    )


def test_the_points_of_a_run_share_what_is_loaded(
    tmp_path: Path,
    toy_pipeline: Path,
    toy_gan: Path,
    loads: Loads,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = sweeping(tmp_path, toy_pipeline, toy_gan)
    out = tmp_path / "run"
    assert main(["generate", str(file), "--out", str(out)]) == 0
    assert loads == ["pipeline", "gan"]
    said = capsys.readouterr().err
    for name in ("sd-euler-2steps", "twice", "gan-psi1"):
        assert f"{name}: ready in 0." in said
        assert record(out)["generators"][name]["loading"]["shared"] is True
    assert "sd-ddim-2steps: ready" not in said
    first = record(out)["generators"]["sd-ddim-2steps"]["loading"]
    assert first["shared"] is False
    assert first["seconds"] > 0
    together = images(out)
    assert len(together) == 5 * 2 * 2
    assert len(set(together.values())) == len(together)

    alone: dict[str, str] = {}
    for name in reversed(record(out)["generators"]):
        points = record(out)["comparison"]["generators"]
        single = write_comparison(tmp_path / name, 2, generators={name: points[name]})
        folder = tmp_path / f"{name}-run"
        api.run(single, until="generate", out=folder, quiet=True)
        alone |= images(folder)
    assert alone == together


def test_a_sweep_grows_and_what_was_made_stays(
    tmp_path: Path, toy_pipeline: Path, toy_gan: Path, loads: Loads
) -> None:
    file = sweeping(tmp_path, toy_pipeline, toy_gan)
    out = tmp_path / "run"
    api.run(file, until="generate", out=out, quiet=True, limit=1)
    before = images(out)
    loads.clear()
    grown = ["generators.sd.sweep.num_inference_steps=[2,4]"]
    api.run(file, until="generate", out=out, quiet=True, overrides=grown, limit=1)
    assert loads == ["pipeline"]
    after = images(out)
    assert after.items() > before.items()
    assert {name.split("/")[1] for name in after.keys() - before.keys()} == {
        "sd-ddim-4steps",
        "sd-euler-4steps",
    }
    loads.clear()
    api.run(out, until="generate", quiet=True)
    assert loads == []
    assert record(out)["comparison"]["sweeps"]["gan"] == ["gan-psi0.5", "gan-psi1"]


def test_a_point_whose_settings_change_is_kept_beside_it(
    tmp_path: Path, toy_pipeline: Path, toy_gan: Path
) -> None:
    file = sweeping(tmp_path, toy_pipeline, toy_gan)
    out = tmp_path / "run"
    api.run(file, until="generate", out=out, quiet=True, limit=1)
    changed = ["generators.gan.timing=off", "generators.sd.guidance_scale=2"]
    api.run(out, until="generate", quiet=True, overrides=changed)
    names = list(record(out)["generators"])
    assert {"sd-ddim-2steps", "sd-ddim-2steps@1", "sd-euler-2steps@1"} <= set(names)
    assert "gan-psi1@1" not in names


def test_python_takes_sweeps(tmp_path: Path, toy_pipeline: Path, loads: Loads) -> None:
    plain = {"type": "diffusers", "pipeline": str(toy_pipeline), "num_inference_steps": 2}
    summary = gandiff.compare(
        generators={
            "grains": grains,
            "sd": {**plain, "sweep": [{"guidance_scale": 1}, {"guidance_scale": 2.5}]},
        },
        suite=["a star", "a ring", "a heart"],
        metrics=["vendi(encoder=scenes)"],
        out=tmp_path / "run",
        samples_per_prompt=2,
        timing="off",
        report={"trace_prompts": 0},
        quiet=True,
    )
    frame = summary.to_frame()
    assert list(dict.fromkeys(frame["generator"])) == ["grains", "sd-g1", "sd-g2.5"]
    assert loads == ["pipeline"]
    assert (tmp_path / "run" / "comparison.yaml").is_file()
