"""Pictures of the way from noise to image: made for few prompts, kept while they are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from run_helpers import TOY, log_lines, write_comparison
from scene_toys import noise, score

from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run
from gandiff.experiments.runs.traces import make_traces
from gandiff.models.generator import (
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
    TraceFrame,
)

PROMPTS = ["a red star left of a blue ring", "a small green heart", "a triangle"]


def comparison(folder: Path, pipeline: Path, **report: int) -> Path:
    """A toy pipeline of five steps beside a toy that has none."""
    generators = {
        "steps": {
            "type": "diffusers",
            "pipeline": str(pipeline),
            "scheduler": "ddim",
            "num_inference_steps": 5,
            "guidance_scale": 1.5,
        },
        "toy": {"type": TOY},
    }
    return write_comparison(
        folder,
        PROMPTS,
        generators=generators,
        samples_per_prompt=1,
        report={"trace_prompts": 2, "trace_steps": 3, **report},
    )


def make(file: Path) -> Path:
    """Make the images and the traces, and measure nothing."""
    with open_run(load_comparison(file), file.parent / "run") as run:
        generate_images(run, quiet=True)
        make_traces(run, quiet=True)
        return run.folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def traces(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "traces" / "traces.json").read_text())
    return found


def pictures(folder: Path) -> dict[str, int]:
    """Each picture of a trace and when it was written."""
    files = sorted((folder / "traces").rglob("*.png"))
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for f in files}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, toy_pipeline: Path) -> Path:
    folder = tmp_path_factory.mktemp("traces")
    make(comparison(folder, toy_pipeline))
    return folder


def test_the_first_prompts_of_what_has_steps_are_traced(traced: Path) -> None:
    found = traces(traced / "run")
    assert [(t["generator"], t["prompt"]) for t in found[:-1]] == [
        ("steps", p) for p in PROMPTS[:2]
    ]
    assert found.pop() == {"generator": "toy", "reason": "a GAN makes an image in one step"}
    lines = {line["key"]: line for line in log_lines(traced / "run")}
    for trace in found:
        assert trace["seed"] == lines[trace["key"]]["seed"]
        assert [(frame["step"], frame["of"]) for frame in trace["frames"]] == [
            (0, 5),
            (2, 5),
            (5, 5),
        ]
        times = [frame["timestep"] for frame in trace["frames"]]
        assert times == sorted(times, reverse=True)


def test_the_pictures_lead_to_the_image(traced: Path) -> None:
    run = traced / "run"
    lines = {line["key"]: line for line in log_lines(run)}
    for trace in traces(run)[:-1]:
        final = pixels(run / lines[trace["key"]]["path"])
        away = []
        for frame in trace["frames"]:
            for kind in ("noisy", "estimate"):
                assert pixels(run / frame[kind]).shape == (32, 32, 3)
            away.append(np.abs(pixels(run / frame["noisy"]) - final).mean())
        assert away[0] > away[1] > away[2] == 0
        last = pixels(run / trace["frames"][-1]["estimate"])
        assert np.abs(last - final).mean() < 2
        # Three moments of 32 px, enlarged to 128, with their estimates below.
        assert pixels(run / trace["strip"]).shape == (2 * 132, 3 * 132, 3)
        with Image.open(run / trace["animation"]) as film:
            assert (film.format, film.n_frames, film.size) == ("WEBP", 3, (2 * 132, 132))
            film.seek(2)
            shown = np.asarray(film.convert("RGB")).astype(float)[2:130:4, 2:130:4]
        assert np.abs(shown - final).mean() < 12


def test_traces_are_kept_and_made_again_only_if_asked_otherwise(
    traced: Path, toy_pipeline: Path
) -> None:
    def again(**report: int) -> dict[str, int]:
        return pictures(make(comparison(traced, toy_pipeline, **report)))

    run = traced / "run"
    before = pictures(run)
    assert len(before) == 2 * (3 * 2 + 1)
    assert again() == before
    first = next(iter(before))
    (run / first).unlink()
    after = again()
    assert after.keys() == before.keys()
    changed = {path for path in before if after[path] != before[path]}
    assert changed == {path for path in before if Path(path).parent == Path(first).parent}
    assert again(trace_prompts=1) == after
    assert [t["prompt"] for t in traces(run)[:-1]] == PROMPTS[:1]
    again(trace_prompts=1, trace_steps=9)
    assert [f["step"] for f in traces(run)[0]["frames"]] == [0, 1, 2, 3, 4, 5]
    again(trace_prompts=1, trace_steps=1)
    assert [f["step"] for f in traces(run)[0]["frames"]] == [5]
    again(trace_prompts=0)
    assert traces(run) == []


class Stumbling(Generator):
    """Says that it has steps, and stumbles over stars."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem
        self.loaded = 0

    @property
    def info(self) -> GeneratorInfo:
        abilities = frozenset({"text_to_image", "trace"})
        return GeneratorInfo(name="s", family="diffusion", resolution=32, abilities=abilities)

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.loaded += 1

    def unload(self) -> None:
        self.loaded -= 1

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        made = noise([r.prompt for r in requests], [r.seed for r in requests])
        return [Generation(image=image) for image in made]

    def trace(self, request: GenerationRequest, moments: Sequence[float]) -> list[TraceFrame]:
        if "star" in request.prompt:
            raise self.problem
        image = noise([""], [1])[0]
        return [TraceFrame(step=1, steps=1, timestep=1.0, noisy=image, estimate=None)]


@pytest.mark.parametrize(
    "problem",
    [NotImplementedError("no such step"), RuntimeError("no such step"), TypeError("no such step")],
)
def test_what_cannot_be_traced_is_a_warning(tmp_path: Path, problem: Exception) -> None:
    generator = Stumbling(problem)
    summary = score(
        *(tmp_path / "r", {"s": generator}, [], ["a ring", "a star", "a heart"]),
        report={"trace_prompts": 2},
    )
    kind = type(problem).__name__
    assert summary.warnings == [f"s: its steps are not shown: {kind}: no such step"]
    assert summary.images == {"ok": 6}
    assert generator.loaded == 0
    kept, none = traces(summary.folder)
    assert kept["prompt"] == "a ring"
    assert [(f["step"], f["estimate"]) for f in kept["frames"]] == [(1, None)]
    assert none == {"generator": "s", "reason": f"{kind}: no such step"}
