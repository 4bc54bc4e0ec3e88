"""Every training for a moment, through the public functions, and what is made of its result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gandiff.experiments.errors import RequestError
from gandiff.experiments.scenes import sample_scenes, scene_seeds
from gandiff.experiments.scenes_captions import caption_facts, captions
from gandiff.experiments.scenes_render import save_image_folder
from gandiff.experiments.training import diffusion, gan, judges, scene_clip, text
from gandiff.experiments.training.loop import CHECKPOINT, Loop, read_checkpoint
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import GenerationRequest
from gandiff.models.settings import GanSettings
from gandiff.models.text import TextEncoder

TRAININGS = {"gan": gan, "diffusion": diffusion, "text": text, "judges": judges}


def request(out: Path, **changes: Any) -> TrainingRequest:
    usual = {"out": out, "minutes": 0.01, "batch_size": 4, "quiet": True}
    return TrainingRequest(**{**usual, **changes})


def record(folder: Path, name: str = "training.json") -> dict[str, Any]:
    return dict(json.loads((folder / name).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def gan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gan") / "out"
    return gan.train(request(out, command="gandiff train gan --minutes 0.01"))
