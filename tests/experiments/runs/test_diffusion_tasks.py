"""Runs of tasks by a diffusion pipeline: planned, made, continued, refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from families import edits
from PIL import Image
from run_helpers import images, log_lines, make, record

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.yaml_source import write_yaml
from gandiff.experiments.runs.trial import try_comparison


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toys of Stable Diffusion: ``pipeline`` and ``control``."""
    made = tmp_path_factory.mktemp("sd")
    edits.save("sd", made)
    return made


def write(place: Path, folder: Path, task: str, **changes: Any) -> Path:
    """Three prompts with pictures, and a comparison of two toys of which one has a ControlNet."""
    rows = ["id,prompt,init_image,mask,control_image"]
    for i in range(3):
        for name, pixels in toys.edit_pictures(edits.SIDE, i).items():
            Image.fromarray(pixels).save(place / f"{name}-{i}.png")
        files = ",".join(f"{name}-{i}.png" for name in ("init_image", "mask", "control_image"))
        rows.append(f"p{i},a toy {i},{files}")
    (place / "prompts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    base = {"type": "diffusers", "pipeline": str(folder / "pipeline"), "num_inference_steps": 10}
    data = {
        "suite": "prompts.csv",
        "task": task,
        "samples_per_prompt": 2,
        "batch_size": 4,
        "device": "cpu",
        "generators": {"plain": base, "own": {**base, "controlnet": str(folder / "control")}},
        "metrics": [],
        **changes,
    }
    file = place / "edits.yaml"
    file.write_text(write_yaml(data), encoding="utf-8")
    return file


def test_steps_are_those_that_ran_and_known_pixels_stay(tmp_path: Path, folder: Path) -> None:
    run = make(write(tmp_path, folder, "inpaint", strength=0.3))
    assert {line["nfe"] for line in log_lines(run)} == {2 * 3}
    assert record(run)["counts"]["plain"]["ok"] == 6
    given = toys.edit_pictures(edits.SIDE, 1)
    paths = [run / line["path"] for line in log_lines(run) if line["prompt_id"] == "p1"]
    for path in paths:
        pixels = np.asarray(Image.open(path))
        known = given["mask"] == 0
        np.testing.assert_array_equal(pixels[known], given["init_image"][known])


def test_a_generator_without_a_controlnet_is_a_row_that_says_so(
    tmp_path: Path, folder: Path
) -> None:
    run = make(write(tmp_path, folder, "control"))
    made = {line["generator"] for line in log_lines(run)}
    assert made == {"own"}
    assert record(run)["counts"]["own"]["ok"] == 6


def test_an_image_that_is_gone_is_made_again_alike(tmp_path: Path, folder: Path) -> None:
    file = write(tmp_path, folder, "image_to_image", strength=0.5)
    run = make(file)
    before = images(run)
    (run / log_lines(run)[2]["path"]).unlink()
    make(file)
    assert images(run) == before


def test_strength_below_a_step_ends_the_run_before_the_first_image(
    tmp_path: Path, folder: Path
) -> None:
    file = write(tmp_path, folder, "image_to_image", strength=0.05)
    said = "strength 0.05 of 10 steps is less than one step"
    with pytest.raises(RequestError, match=re.escape(said)) as refused:
        try_comparison(load_comparison(file), quiet=True)
    assert "\n" not in str(refused.value)
    lines = log_lines(make(file))  # which tries nothing
    assert {line["status"] for line in lines} == {"failed"}
    assert all(line["reason"].startswith(said) for line in lines)


def test_a_controlnet_is_a_path_from_the_comparison(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "mine").symlink_to(folder / "control")
    base = {"type": "diffusers", "pipeline": str(folder / "pipeline"), "num_inference_steps": 10}
    toys_of = {"own": {**base, "controlnet": "./mine", "controlnet_conditioning_scale": 0.5}}
    run = make(write(tmp_path, folder, "control", generators=toys_of))
    assert record(run)["counts"]["own"]["ok"] == 6
    with pytest.raises(RequestError, match=r"there is nothing at .*/nowhere"):
        make(file := tmp_path / "edits.yaml", "generators.own.controlnet=./nowhere", out="other")
    assert file.is_file()
