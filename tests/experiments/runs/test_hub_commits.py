"""Pipelines of the hub: the commit that made the images is part of what a run checks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from run_helpers import images, make, record, write_comparison
from safetensors.torch import load_file, save_file

from gandiff.common.errors import GeneratorError
from gandiff.experiments import api
from gandiff.experiments.runs.commits import commits, pinned

FIRST, SECOND = "c0ffee" + "0" * 34, "decade" + "1" * 34
UNET = "unet/diffusion_pytorch_model.safetensors"
Move = Callable[[str], None]


@pytest.fixture
def move(toy_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Moves ``main`` of ``toy-org/toy`` in a cache that has it at two commits; it is at FIRST."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return cached_twice(tmp_path, toy_pipeline, UNET)


def cached_twice(tmp_path: Path, folder: Path, weights: str) -> Move:
    """Put a folder into the cache as ``toy-org/toy``, and at another commit with other weights."""
    repo = tmp_path / "hub" / "models--toy-org--toy"
    for commit in (FIRST, SECOND):
        shutil.copytree(folder, repo / "snapshots" / commit)
    file = repo / "snapshots" / SECOND / weights
    tensors = {name: tensor * 1.5 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    (repo / "refs").mkdir()

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


Toys = Callable[[str], dict[str, Any]]


def part_on_the_hub(
    kind: str, tmp_path: Path, toy_pipeline: Path, toy_family: Toys
) -> tuple[dict[str, Any], str, Move]:
    """Settings with one part from the hub, its place among them, and what moves it."""
    if kind == "lora":
        folder = tmp_path / "lora"
        folder.mkdir()
        key = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_v"
        width = load_file(toy_pipeline / UNET)[f"{key.removeprefix('unet.')}.weight"].shape[1]
        down = torch.linspace(-1, 2, width)[None]
        up = torch.linspace(3, -4, width)[:, None]
        tensors = {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
        save_file(tensors, folder / "pytorch_lora_weights.safetensors")
        settings = {"pipeline": str(toy_pipeline), "loras": ["toy-org/toy"]}
        move = cached_twice(tmp_path, folder, "pytorch_lora_weights.safetensors")
        return settings, "loras.0.path", move
    if kind == "unet":
        weights = "diffusion_pytorch_model.safetensors"
        settings = {"pipeline": str(toy_pipeline), "unet": "toy-org/toy"}
        return settings, "unet", cached_twice(tmp_path, toy_pipeline / "unet", weights)
    if kind == "stage":
        first, second, _ = toy_family("if")["stages"]
        move = cached_twice(tmp_path, Path(second), UNET)
        return {"stages": [first, "toy-org/toy"]}, "stages.1.pipeline", move
    settings = toy_family("kandinsky-2.2")
    weights = "prior/diffusion_pytorch_model.safetensors"
    move = cached_twice(tmp_path, Path(settings["prior"]), weights)
    return {**settings, "prior": "toy-org/toy"}, "prior", move


@pytest.mark.parametrize("kind", ["lora", "unet", "stage", "prior"])
def test_a_part_that_moved_makes_the_images_again(
    tmp_path: Path,
    toy_pipeline: Path,
    toy_family: Toys,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    settings, place, move = part_on_the_hub(kind, tmp_path, toy_pipeline, toy_family)
    extra = {"extra": {"prior_num_inference_steps": 2}} if kind == "prior" else {}
    toy = {"type": "diffusers", "num_inference_steps": 2, **settings, **extra}
    changes = {"generators": {"toy": toy}, "samples_per_prompt": 1, "timing": "off"}
    file = write_comparison(tmp_path, 2, **changes, batch_size=2)
    run = make(file)
    first = images(run)
    assert record(run)["plan"]["generators"]["toy"]["identity"][f"commit of {place}"] == FIRST
    forget(run, next(iter(first)))
    assert images(make(file)) == first
    move(SECOND)
    again = make(file)
    said = f"toy: the hub's commit of {place} was c0ffee0000 and is decade1111"
    assert any(said in line for line in record(again)["warnings"])
    now = images(again)
    assert {k: v for k, v in now.items() if "toy@1" not in k} == images(make(file, out="fresh"))
    assert {k.replace("toy@1", "toy"): v for k, v in now.items() if "toy@1" in k} == first
    assert len(set(now.values())) == 2 * len(first)


def test_parts_are_read_at_the_commits_of_the_other_images() -> None:
    """Those that have a revision: the hub may have moved on since."""
    settings: Mapping[str, Any] = {
        "pipeline": "org/a",
        "revision": "main",
        "loras": [{"path": "org/b", "file": None, "revision": None}, {"path": "/here/c"}],
        "prior": "org/d",
        "unet": None,
    }
    known = {"commit of pipeline": "1", "commit of loras.0.path": "2", "commit of prior": "4"}
    made = pinned(settings, {**known, "commit of loras.1.path": "3"})
    assert made["revision"] == "1"
    assert made["loras"] == [{**settings["loras"][0], "revision": "2"}, {"path": "/here/c"}]
    assert made["prior"] == "org/d"
    stages = [{"pipeline": "org/a", "loras": [{"path": "org/b"}]}, {"pipeline": "org/c"}]
    known = {"commit of stages.0.loras.0.path": "1", "commit of stages.1.pipeline": "2"}
    assert pinned({"stages": stages}, known)["stages"] == [
        {"pipeline": "org/a", "loras": [{"path": "org/b", "revision": "1"}]},
        {"pipeline": "org/c", "revision": "2"},
    ]


def test_what_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of everything before the first images; later of what cannot be read at their commit."""
    from gandiff.models.diffusion import hub

    asked: list[tuple[str, str, str | None]] = []

    def hub_file(repo: str, name: str, revision: str | None, *more: Any) -> Path:
        asked.append((repo, name, revision))
        raise GeneratorError("not here")

    monkeypatch.setattr(hub, "hub_file", hub_file)
    settings = {
        "pipeline": "org/a",
        "loras": [{"path": "org/b", "file": "x.safetensors", "revision": "v1"}],
        "unet": "org/c",
        "extra": {"word": "org/d"},
    }
    list(commits("diffusers", settings, asks=True, resumes=False))
    lora, unet = ("org/b", "x.safetensors", "v1"), ("org/c", "config.json", None)
    whole = [("org/a", "model_index.json", None), ("org/a", "README.md", None), lora, unet]
    assert asked == whole
    asked.clear()
    list(commits("diffusers", settings, asks=True, resumes=True))
    assert asked == [unet]
    asked.clear()
    list(commits("diffusers", settings, asks=False, resumes=False))
    list(commits("folder", settings, asks=True, resumes=False))
    assert asked == []
