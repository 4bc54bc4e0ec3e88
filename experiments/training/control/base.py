"""The pipeline that a ControlNet is trained for: frozen, with what its own training says of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from gandiff.experiments.training.diffusion.finished import BaseRecord, open_pipeline
from gandiff.experiments.training.diffusion.weights import digest
from gandiff.models.text import TextEncoder


class Base(NamedTuple):
    """A pipeline in parts, none of which learns any more."""

    record: BaseRecord
    vae: Any
    unet: Any
    encoder: TextEncoder
    scheduler: Any

    def facts(self) -> dict[str, str]:
        """What a checkpoint of a ControlNet for it says: another pipeline is another training."""
        return {"unet": digest(self.unet), "autoencoder": digest(self.vae)}


def open_base(record: BaseRecord, device: str) -> Base:
    """Load a pipeline, frozen; raises ``GeneratorError`` where its weights are not whole."""
    pipe = open_pipeline(record, device)
    vae, unet = (part.eval().requires_grad_(False) for part in (pipe.vae, pipe.unet))
    encoder = TextEncoder(pipe.text_encoder, pipe.tokenizer)
    return Base(record, vae, unet, encoder, pipe.scheduler)
