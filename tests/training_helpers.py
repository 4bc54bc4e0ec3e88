"""What the tests of training share: small requests, small checks."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toys

from gandiff.experiments.data.captioned import FileImages
from gandiff.experiments.training.control import trainer as control_trainer
from gandiff.experiments.training.diffusion import inspect
from gandiff.experiments.training.diffusion import train as diffusion
from gandiff.experiments.training.diffusion import trainer as diffusion_trainer
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.gan import trainer as gan_trainer
from gandiff.experiments.training.generators import ticks
from gandiff.experiments.training.judges import scene_clip
from gandiff.experiments.training.judges import train as judges
from gandiff.experiments.training.monitors import files as file_monitor
from gandiff.experiments.training.monitors import scenes as scene_monitor
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text import train as text


@contextlib.contextmanager
def little_to_check(pictures: int, *, whole_ticks: bool = False) -> Iterator[None]:
    """Words from hundreds of captions and checks on a few pictures, in place of thousands; ticks
    and ends of trainings draw a few, too, unless they are to be ``whole_ticks``.
    """
    with contextlib.nullcontext() if whole_ticks else little_to_draw(), _few_checks(pictures):
        yield


@contextlib.contextmanager
def little_to_draw() -> Iterator[None]:
    """Ticks and ends of trainings that draw a few pictures, in place of hundreds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_monitor, "_PROMPTS", 8)
        patch.setattr(file_monitor, "_REAL", 60)  # enough to hold some out
        patch.setattr(gan_trainer, "_SCORED", 16)
        patch.setattr(diffusion_trainer, "_UNSEEN", 16)
        patch.setattr(inspect, "STEPS", (1, 50))
        patch.setattr(inspect, "GUIDANCE", (1.0, 5.0))
        patch.setattr(inspect, "_FEWEST", 2)
        patch.setattr(ticks, "grid", functools.partial(ticks.grid, columns=2))
        for module in (ticks, gan_trainer, diffusion_trainer, control_trainer):
            patch.setattr(module, "GRID", 2)
        yield


@contextlib.contextmanager
def _few_checks(pictures: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (text, scene_clip):
            patch.setattr(module, "_CAPTIONS", 500)
        patch.setattr(scene_monitor, "_PROMPTS", min(pictures, scene_monitor._PROMPTS))
        checks = ((text, "check"), (judges, "check_classifier"), (scene_clip, "check_clip"))
        for module, name in (*checks, (diffusion, "check")):
            patch.setattr(module, name, functools.partial(getattr(module, name), n=pictures))
        yield


def request(out: Path, **changes: Any) -> TrainingRequest:
    return TrainingRequest(
        **{"out": out, "minutes": 0.005, "batch_size": 4, "ticks": 2, "quiet": True, **changes}
    )


def small_diffusion(**changes: Any) -> DiffusionRecipe:
    """A denoiser of some thousand weights that samples in one step."""
    few = {"channels": (8, 16), "sampling_steps": 1, "guidance": 1.0, "factor": 4}
    return DiffusionRecipe(**{**few, **changes})


def read(folder: Path, name: str = "training.json") -> dict[str, Any]:
    return dict(json.loads((folder / name).read_text(encoding="utf-8")))


def captioned_folder(path: Path, count: int, *, same: bool = False) -> FileImages:
    """Pictures of 16 px that all differ, unless they are the ``same``, with captions that do."""
    names = [f"{i:03d}.png" for i in range(count)]
    toys.save_toy_images(path, names)
    for name in names:
        (path / name).with_suffix(".txt").write_text(f"picture {name}", encoding="utf-8")
        if same:
            (path / name).write_bytes((path / names[0]).read_bytes())
    return FileImages(path, 16)
