"""What is written beside the weights of a generator: its text encoder, its record, its card."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

from gandiff.experiments.training.cards import generator_card, write_card
from gandiff.experiments.training.generators.trainer import GeneratorTrainer
from gandiff.experiments.training.records import RECORD, write_json
from gandiff.experiments.training.text.record import TEXT_PARTS, text_summary
from gandiff.models.text import TextEncoder


def save_record(
    folder: Path,
    trainer: GeneratorTrainer,
    summary: str,
    use: str,
    front: str = "",
    **facts: Any,
) -> None:
    """Write the training record with ``facts``, and a card with ``summary`` and how to ``use`` it.

    ``front`` are more lines of the card's front matter.

    What is not in the folder of the training is the model at its best tick.
    """
    out = trainer.request.out
    record = trainer.loop.record(
        family=trainer.recipe.family,
        finished=trainer.loop.fraction >= 1,
        precision=trainer.precision,
        recipe=dataclasses.asdict(trainer.recipe),
        text=text_summary(out),
        **trainer.data.facts(),
        **facts,
    )
    write_json(folder / RECORD, record)
    name = out.name + ("" if folder == out else " at its best tick")
    write_card(folder, generator_card(name, summary, record, use, front))


def save_text(folder: Path, encoder: TextEncoder) -> None:
    """Write what of the text encoder is not there yet; each part has its name once it is whole."""
    missing = [part for part in TEXT_PARTS if not (folder / part).is_dir()]
    for left in folder.glob(".text-*"):  # by a process that was killed meanwhile
        shutil.rmtree(left, ignore_errors=True)
    if missing:
        with tempfile.TemporaryDirectory(prefix=".text-", dir=folder) as made:
            encoder.save_pretrained(Path(made))
            for part in missing:
                (Path(made) / part).rename(folder / part)
