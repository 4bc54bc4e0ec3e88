"""Building blocks of the tests of runs: a small comparison file and its prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.config.yaml_source import write_yaml
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run
from gandiff.models.generator import Generator

TOYS = Path(__file__).parent / "toy_generators.py"
TOY = f"{TOYS}:ToyGenerator"

GOOD = f"""\
name: good
suite: prompts.txt
generators:
  gan:
    type: {TOY}
    shade: 3
  other: {{type: {TOY}}}
metrics:
  - vendi(encoder=scenes)
"""


def load_text(folder: Path, text: str, *overrides: str, limit: int | None = None) -> Comparison:
    """Write a comparison file beside two prompts and load it."""
    (folder / "prompts.txt").write_text("a star\na ring\n", encoding="utf-8")
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_comparison(path, overrides, limit)


def write_comparison(
    folder: Path, prompts: Iterable[str] | int = 5, name: str = "toys", **changes: Any
) -> Path:
    """Write prompts.txt and a comparison of two toys on it; ``changes`` replace fields."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [f"a toy {i}" for i in range(prompts)] if isinstance(prompts, int) else prompts
    (folder / "prompts.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    data = {
        "suite": "prompts.txt",
        "samples_per_prompt": 2,
        "batch_size": 4,
        "device": "cpu",
        "generators": {
            "toy": {"type": TOY, "log": str(folder / "toy.log")},
            "other": {"type": TOY, "log": str(folder / "other.log"), "family": "diffusion"},
        },
        "metrics": [],
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(write_yaml(data), encoding="utf-8")
    return path


def images(run_folder: Path) -> dict[str, str]:
    """The sha256 of every image file of a run."""
    return {
        str(path.relative_to(run_folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run_folder.glob("images/*/*"))
    }


def log_lines(run_folder: Path) -> list[dict[str, Any]]:
    """The lines of images.jsonl."""
    text = (run_folder / "images.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def calls(log: Path, verb: str = "begin") -> list[str]:
    """The calls of ``generate`` that a toy began, in order, by what was asked for."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.removeprefix(f"{verb} ") for line in lines if line.startswith(verb)]


def make(
    file: Path,
    *overrides: str,
    limit: int | None = None,
    out: str = "run",
    retry: bool | None = None,
    objects: Mapping[str, Generator] | None = None,
    drop_changed: bool = False,
) -> Path:
    """Make the images of a comparison in the folder ``out`` beside its file."""
    comparison = load_comparison(file, overrides, limit)
    folder = file.parent / out
    options: dict[str, Any] = {"generators": objects, "keep_changed": not drop_changed}
    with open_run(comparison, folder, command="gandiff run", **options) as run:
        generate_images(run, quiet=True, retry=retry)
    return folder


def besides_domain(warnings: Iterable[str]) -> list[str]:
    """Warnings but for the one that toys' pictures are no scenes, which an encoder is for."""
    return [line for line in warnings if "know rendered scenes" not in line]


def record(folder: Path) -> dict[str, Any]:
    """What run.json holds."""
    return json.loads((folder / "run.json").read_text())  # type: ignore[no-any-return]
