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
from gandiff.models.gan.config import (
    WEIGHTS,
    least_strength,
    levels_of,
    read_config,
    replaced_levels,
)
from gandiff.models.generator import (
    Ability,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
)
from gandiff.models.pixels import finish
from gandiff.models.settings import GanSettings
from gandiff.models.shared import Shared, files_state, findings, free_memory, shared
from gandiff.models.tasks import SOURCES, request_problem, size_of
from gandiff.models.weights import check_text_parts, combined_sha256, read_card, require_weights

_READERS = {"clip_text_model": "CLIP text transformer", "t5": "T5 encoder"}  # by transformers' name
_READERS["clip"] = _READERS["clip_text_model"]
_ABILITIES: frozenset[Ability] = frozenset({"text_to_image", "image_to_image", "inpaint", "paint"})


class GanGenerator(Generator):
    """A folder with ``config.json``, ``model.safetensors``, ``text_encoder/`` and ``tokenizer/``.

    Noise comes from one CPU generator per image, seeded by the request. Truncation pulls the mapped
    noise towards its mean and leaves the text alone. Edits (``gandiff.models.gan.edits``) are
    computed one by one in float32, whatever the number format.
    """

    def __init__(self, name: str, settings: GanSettings) -> None:
        """Check the settings and small files; raises ``GeneratorError`` for what does not fit, such
        as units that do not exist.
        """
        self._name, self._settings = name, settings
        self._folder = require_weights(settings.weights)
        self._config = read_config(self._folder)
        self._card = read_card(self._folder)
        check_intact([self._folder / WEIGHTS], GeneratorError)
        check_text_parts(self._folder)
        self._reader = _text_encoder_kind(self._folder)
        self._switch = self._read_switch()
        self._shared: Shared[Any] | None = None
        self._editor: Any = None
        self._found: dict[Hashable, Any] | None = None
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
            abilities=_ABILITIES,
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
        key = self.sharing_key(device, dtype)
        held = shared(key)
        gan = held.load(lambda: TextToImageGan.from_folder(self._folder).to(place, kind))
        self._parameters = parameter_count(gan.net) + parameter_count(gan.text.model)
        self._shared, self._editor, self._found = held, None, findings(key)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; see ``Generator.generate``."""
        self._held()
        problems = [self.refusal(request) for request in requests]
        each = list(zip(requests, problems, strict=True))
        plain = [one for one, problem in each if problem is None and not SOURCES[one.task]]
        made = iter(self._made(plain) if plain else ())
        edits = [one for one, problem in each if problem is None and SOURCES[one.task]]
        edited = iter(self._edited(edits) if edits else ())
        return [
            Generation(image=None, status="failed", reason=problem, nfe=0)
            if problem is not None
            else next(edited if SOURCES[request.task] else made)
            for request, problem in each
        ]

    def _made(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        gan = self._held().value
        text = gan.encode([request.prompt for request in requests])
        noise = gan.noise([request.seed for request in requests])
        pictures = gan.sample(noise, text, self._settings.truncation_psi)
        pixels = (pictures.float().permute(0, 2, 3, 1) * 0.5 + 0.5).cpu().numpy()
        return [
            finish(
                image,
                truncated_tokens={"text_encoder": unread} if unread else {},
                note=_note(request),
            )
            for image, unread, request in zip(pixels, text.truncated, requests, strict=True)
        ]

    def refusal(self, request: GenerationRequest) -> str | None:
        """Why the image of a request cannot be made; see ``Generator.refusal``."""
        problem = request_problem(request, _ABILITIES)
        if problem is not None and request.task not in _ABILITIES:
            return f"the request has {SOURCES[request.task][0]}, but {problem}"
        init, side = request.init_image, self._config["resolution"]
        if problem is None and init is not None and init.shape[:2] != (side, side):
            return (
                f"init_image is {size_of(init)}, and images of this generator are {side}x{side} "
                "px; scale it"
            )
        if problem is None and request.task == "inpaint" and request.strength is not None:
            return self._too_little(request.strength)
        return problem

    def _too_little(self, strength: float) -> str | None:
        """Inpainting goes by whole levels: less than half of one would count as none."""
        side = self._config["resolution"]
        if replaced_levels(strength, side):
            return None
        return (
            f"strength {strength:g} of {levels_of(side) + 1} levels is less than half a level; set "
            f"strength to {least_strength(side):g} at least, or leave it out"
        )

    def _edited(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        from gandiff.models.gan.edits import Editor

        gan = self._held().value
        if self._editor is None:
            self._editor = Editor(
                _in_float32(gan, self._folder),
                steps=self._settings.inversion_steps,
                candidates=self._settings.inversion_candidates,
                psi=self._settings.truncation_psi,
                switch=self._switch,
                found=self._found,
            )
        unread = gan.text.truncated([request.prompt for request in requests])
        return [
            dataclasses.replace(
                finish(
                    edited.picture,
                    nfe=edited.evaluations,
                    truncated_tokens={"text_encoder": lost} if lost else {},
                    note=_note(request),
                ),
                uncomposited=edited.uncomposited,
            )
            for edited, lost, request in zip(
                self._editor.edit_all(requests), unread, requests, strict=True
            )
        ]

    def _read_switch(self) -> Any:
        """The units that paint, None where the prompt does."""
        if self._settings.units is None:
            return None
        from gandiff.models.gan.units import read_units, switch_of

        return switch_of(read_units(self._folder), self._settings.units)

    def _held(self) -> Shared[Any]:
        if self._shared is None:
            raise GeneratorError(f"{self._name} is not loaded; call load() first")
        return self._shared

    def unload(self) -> None:
        """Let go of the networks; the last generator that does so gives their memory back."""
        if self._shared is not None:
            held = weakref.ref(self._shared)
            self._shared = self._editor = self._found = None
            free_memory(held)


def _note(request: GenerationRequest) -> str | None:
    return "negative prompt not used: a GAN has none" if request.negative_prompt else None


def _in_float32(gan: Any, folder: Path) -> Any:
    """The GAN as it is or, for gradients in other number formats are too coarse, read again."""
    import torch

    if gan.like.dtype == torch.float32:
        return gan
    return gan.from_folder(folder).to(str(gan.like.device), torch.float32)


def _text_encoder_kind(folder: Path) -> str:
    """The kind of text encoder, in words."""
    kind = read_json(folder / "text_encoder" / "config.json", GeneratorError).get("model_type")
    return _READERS.get(str(kind), "text encoder")
