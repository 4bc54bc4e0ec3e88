"""The text-conditioned GAN behind the contract; torch is imported on ``load``."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.devices import check_device, number_format
from gandiff.common.errors import GeneratorError
from gandiff.common.files import read_json
from gandiff.common.intact import check_intact
from gandiff.models.gan.config import WEIGHTS, read_config
from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo
from gandiff.models.pixels import finish
from gandiff.models.settings import GanSettings
from gandiff.models.shared import Shared, files_state, free_memory, shared
from gandiff.models.tasks import from_text_alone
from gandiff.models.weights import check_text_parts, combined_sha256, read_card, require_weights

_READERS = {"clip_text_model": "CLIP text transformer", "t5": "T5 encoder"}  # by transformers' name
_READERS["clip"] = _READERS["clip_text_model"]


class GanGenerator(Generator):
    """A folder with ``config.json``, ``model.safetensors``, ``text_encoder/`` and ``tokenizer/``.

    Noise comes from one CPU generator per image, seeded by the request. Truncation pulls the mapped
    noise towards its mean and leaves the text alone.
    """

    def __init__(self, name: str, settings: GanSettings) -> None:
        """Check the settings and small files; raises ``GeneratorError`` for what does not fit."""
        self._name, self._settings = name, settings
        self._folder = require_weights(settings.weights)
        self._config = read_config(self._folder)
        self._card = read_card(self._folder)
        check_intact([self._folder / WEIGHTS], GeneratorError)
        check_text_parts(self._folder)
        self._reader = _text_encoder_kind(self._folder)
        self._shared: Shared[Any] | None = None
        self._parameters: int | None = None

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the GAN; the number of parameters is known once it was loaded."""
        training = self._card.training or {}
        return GeneratorInfo(
            name=self._name,
            family="gan",
            resolution=self._config["resolution"],
            parameters=self._parameters,
            conditioning=f"{self._reader}, {self._config['text_width']} wide",
            training=self._card.training,
            training_images=training.get("images"),
            training_seconds=training.get("seconds"),
            training_device=training.get("device"),
            licence=self._card.licence,
            source=self._card.source,
            weights_sha256=combined_sha256(self._folder),
            settings=dataclasses.asdict(self._settings),
        )

    def sharing_key(self, device: str, dtype: str) -> Hashable:
        """What decides the networks that are loaded; see ``Generator.sharing_key``."""
        return "gan", str(self._folder), files_state(self._folder), device, dtype

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights, unless another generator has; see ``Generator.load``."""
        from gandiff.models.gan.model import TextToImageGan
        from gandiff.models.text import parameter_count

        place = check_device(device, GeneratorError)
        kind = number_format(dtype, place, GeneratorError)
        held = shared(self.sharing_key(device, dtype))
        gan = held.load(lambda: TextToImageGan.from_folder(self._folder).to(place, kind))
        self._parameters = parameter_count(gan.net) + parameter_count(gan.text.model)
        self._shared = held

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; see ``Generator.generate``."""
        self._held()
        return from_text_alone(requests, self._made)

    def _made(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        gan = self._held().value
        text = gan.encode([request.prompt for request in requests])
        noise = gan.noise([request.seed for request in requests])
        pictures = gan.sample(noise, text, self._settings.truncation_psi)
        no_negative = "negative prompt not used: a GAN has none"
        pixels = (pictures.float().permute(0, 2, 3, 1) * 0.5 + 0.5).cpu().numpy()
        return [
            finish(
                image,
                truncated_tokens={"text_encoder": unread} if unread else {},
                note=no_negative if request.negative_prompt else None,
            )
            for image, unread, request in zip(pixels, text.truncated, requests, strict=True)
        ]

    def _held(self) -> Shared[Any]:
        if self._shared is None:
            raise GeneratorError(f"{self._name} is not loaded; call load() first")
        return self._shared

    def unload(self) -> None:
        """Let go of the networks; the last generator that does so gives their memory back."""
        if self._shared is not None:
            held = weakref.ref(self._shared)
            self._shared = None
            free_memory(held)


def _text_encoder_kind(folder: Path) -> str:
    """The kind of text encoder, in words."""
    kind = read_json(folder / "text_encoder" / "config.json", GeneratorError).get("model_type")
    return _READERS.get(str(kind), "text encoder")
