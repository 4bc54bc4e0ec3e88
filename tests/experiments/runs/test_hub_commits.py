"""Pipelines of the hub: the commit that made the images is part of what a run checks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_helpers import images, make, record, write_comparison
from safetensors.torch import load_file, save_file

from gandiff.experiments import api

FIRST, SECOND = "c0ffee" + "0" * 34, "decade" + "1" * 34
UNET = "unet/diffusion_pytorch_model.safetensors"
Move = Callable[[str], None]


@pytest.fixture
def move(toy_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Moves ``main`` of ``toy-org/toy`` in a cache that has it at two commits; it is at FIRST."""
    from huggingface_hub import constants

    repo = tmp_path / "hub" / "models--toy-org--toy"
    for commit in (FIRST, SECOND):
        shutil.copytree(toy_pipeline, repo / "snapshots" / commit)
    file = repo / "snapshots" / SECOND / UNET
    tensors = {name: tensor * 1.5 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    (repo / "refs").mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def to(commit: str) -> None:
        (repo / "refs" / "main").write_text(commit)

    to(FIRST)
    return to


def comparison(tmp_path: Path, **settings: Any) -> Path:
    toy = {"type": "diffusers", "pipeline": "toy-org/toy", "num_inference_steps": 2, **settings}
    toy["native"] = {"num_inference_steps": 2}
    changes = {"generators": {"toy": toy}, "samples_per_prompt": 1, "timing": "off"}
    return write_comparison(tmp_path, 3, **changes, batch_size=2)


def forget(run: Path, file: str) -> None:
    """Lose an image, whose batch is then made again."""
    (run / file).unlink()


def test_a_branch_that_moved_makes_the_images_again(tmp_path: Path, move: Move) -> None:
    file = comparison(tmp_path)
    run = make(file)
    first = images(run)
    assert record(run)["plan"]["generators"]["toy"]["identity"]["commit of pipeline"] == FIRST
    move(SECOND)
    again = make(file)
    warned = record(again)["warnings"]
    assert any(
        "toy: the hub's commit of pipeline was c0ffee0000 and is decade1111" in line
        and "kept as toy@1" in line
        for line in warned
    )
    now = images(again)
    fresh = images(make(file, out="fresh"))
    assert {k: v for k, v in now.items() if "toy@1" not in k} == fresh
    assert {k.replace("toy@1", "toy"): v for k, v in now.items() if "toy@1" in k} == first
    assert fresh != first


def test_a_stage_that_makes_no_images_says_it(tmp_path: Path, move: Move) -> None:
    run = make(comparison(tmp_path))
    before = images(run)
    move(SECOND)
    said = api.stage(run, "score", quiet=True).warnings
    assert any("commit of pipeline was c0ffee0000 and is decade1111 since" in w for w in said)
    assert images(run) == before


def test_missing_images_are_made_at_the_commit_of_the_others(
    tmp_path: Path, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub may have moved on: what is asked of it when a run resumes is the recorded commit."""
    from gandiff.models.diffusion import pipeline

    file = comparison(tmp_path)
    run = make(file)
    before = images(run)
    forget(run, next(iter(before)))
    asked: list[str | None] = []
    real = pipeline.DiffusersGenerator.__init__

    def init(self: Any, name: str, settings: Any) -> None:
        asked.append(settings.revision)
        real(self, name, settings)

    monkeypatch.setattr(pipeline.DiffusersGenerator, "__init__", init)
    assert images(make(file)) == before
    assert asked == [FIRST]


def test_a_commit_that_was_asked_for_stays(tmp_path: Path, move: Move) -> None:
    file = comparison(tmp_path, revision=FIRST)
    run = make(file)
    before = images(run)
    move(SECOND)
    assert images(make(file)) == before
    assert not record(run)["warnings"]


def test_another_revision_is_made_beside_the_images_of_before(tmp_path: Path, move: Move) -> None:
    run = make(comparison(tmp_path))
    first = images(run)
    again = make(comparison(tmp_path, revision=SECOND))
    planned = record(again)["plan"]["generators"]["toy"]["identity"]
    assert planned["commit of pipeline"] == SECOND
    assert {v for k, v in images(again).items() if "toy@1" in k} == set(first.values())
    assert not {v for k, v in images(again).items() if "toy@1" not in k} & set(first.values())


def test_runs_of_before_know_the_commit_from_the_facts(tmp_path: Path, move: Move) -> None:
    """Older versions noted it as the hash of the weights, and not where validity is decided."""
    file = comparison(tmp_path)
    run = make(file)
    old = record(run)
    del old["plan"]["generators"]["toy"]["identity"]["commit of pipeline"]
    assert old["generators"]["toy"]["weights_sha256"] == f"hub:{FIRST}"
    (run / "run.json").write_text(json.dumps(old))
    make(file)  # the keys of images come from the identity, so these are made under other keys
    keys = [json.loads(line)["key"] for line in (run / "images.jsonl").read_text().splitlines()]
    make(file)
    again = [json.loads(line)["key"] for line in (run / "images.jsonl").read_text().splitlines()]
    assert again == keys
    move(SECOND)
    make(file)
    assert any("was c0ffee0000 and is decade1111" in line for line in record(run)["warnings"])


def test_without_the_cache_finished_images_stay(tmp_path: Path, move: Move) -> None:
    file = comparison(tmp_path)
    run = make(file)
    before = images(run)
    shutil.rmtree(tmp_path / "hub")
    assert images(make(file)) == before
    assert not record(run)["warnings"]
