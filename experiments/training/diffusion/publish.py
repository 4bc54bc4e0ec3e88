"""How a pipeline gets into a folder that may hold an earlier one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from gandiff.experiments.training.records import TEXT_RECORD as RECORD
from gandiff.experiments.training.text.record import KEPT_TEXT, TEXT_PARTS
from gandiff.models.diffusion.networks import save_pipeline

_INDEX, _MADE, _TEXT = "model_index.json", ".pipeline-", TEXT_PARTS[0]


def publish(folder: Path, pipe: Any, *, replace_text: bool = False) -> None:
    """Write a pipeline; while its parts are exchanged there is no index that would load them.

    The text encoder that is there stays, unless it is fine-tuned jointly: then it is kept in
    ``state/``, from where a new training begins with it (``restore_text``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_MADE}*"):  # by a process that was killed meanwhile
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_MADE, dir=folder) as name:
        made = Path(name)
        save_pipeline(made, pipe)
        (folder / _INDEX).unlink(missing_ok=True)
        for part in sorted(path for path in made.iterdir() if path.is_dir()):
            if part.name in TEXT_PARTS and not replace_text and (folder / part.name).is_dir():
                continue
            if part.name == _TEXT and (folder / RECORD).is_file():
                _keep(folder / _TEXT, folder / KEPT_TEXT)
            shutil.rmtree(folder / part.name, ignore_errors=True)
            part.rename(folder / part.name)
        (made / _INDEX).rename(folder / _INDEX)


def restore_text(folder: Path) -> None:
    """Put the text encoder back as it was before it was fine-tuned."""
    if (folder / KEPT_TEXT).is_dir():
        shutil.rmtree(folder / _TEXT, ignore_errors=True)
        (folder / KEPT_TEXT).rename(folder / _TEXT)


def _keep(path: Path, kept: Path) -> None:
    if path.is_dir() and not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
