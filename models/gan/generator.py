"""The text-conditioned GAN behind the contract; torch is imported on ``load``."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.models.generator import (
    Generation,
    GenerationRequest,
    Generator,
    GeneratorError,
    GeneratorInfo,
)
from gandiff.models.pixels import finish
from gandiff.models.settings import GanSettings
from gandiff.models.weights import combined_sha256, read_card, read_json, require_weights

MODEL, CONFIG, WEIGHTS = "gandiff.gan", "config.json", "model.safetensors"


class GanGenerator(Generator):
    """A folder with ``config.json``, ``model.safetensors``, ``text_encoder/`` and ``tokenizer/``.

    Noise comes from one CPU generator per image, seeded by the request. Truncation pulls the mapped
    noise towards its mean and leaves the text alone.
    """

    def __init__(self, name: str, settings: GanSettings) -> None:
        """Check the settings and small files; raises ``GeneratorError`` for what does not fit."""
        self._name, self._settings = name, settings
        self._folder = require_weights(settings.weights)
        self._config = _read_config(self._folder)
        self._card = read_card(self._folder)
        self._net: Any = None
        self._text: Any = None
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
            conditioning=f"CLIP text transformer, {self._config['text_width']} wide",
            training=self._card.training,
            training_images=training.get("images"),
            training_seconds=training.get("seconds"),
            training_device=training.get("device"),
            licence=self._card.licence,
            source=self._card.source,
            weights_sha256=combined_sha256(self._folder),
            settings=dataclasses.asdict(self._settings),
        )

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights; see ``Generator.load``."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from gandiff.models.gan.config import GanConfig
        from gandiff.models.gan.synthesis import GeneratorNetwork
        from gandiff.models.text import TextEncoder, parameter_count

        kind = getattr(torch, dtype, None)
        if not isinstance(kind, torch.dtype):
            raise GeneratorError(f"no number format {dtype!r}; use float32, bfloat16 or float16")
        try:
            with torch.random.fork_rng(devices=[]):  # building draws weights that are thrown away
                net = GeneratorNetwork(GanConfig(**self._config))
            net.load_state_dict(load_file(self._folder / WEIGHTS))
        except SafetensorError as error:
            raise GeneratorError(f"{self._folder / WEIGHTS} cannot be read: {error}") from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise GeneratorError(
                f"the weights in {self._folder} do not fit its {CONFIG}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        text = TextEncoder.from_pretrained(self._folder)
        if text.width != net.config.text_width:
            raise GeneratorError(
                f"{self._folder}: the text encoder is {text.width} wide, "
                f"{CONFIG} says text_width {net.config.text_width}"
            )
        self._net = net.eval().requires_grad_(False).to(device=device, dtype=kind)
        self._text = text.to(device, kind)
        self._parameters = parameter_count(self._net) + parameter_count(self._text.model)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; see ``Generator.generate``."""
        import torch

        if self._net is None:
            raise GeneratorError(f"{self._name} is not loaded; call load() first")
        if not requests:
            return []
        weight = self._net.start.weight
        with torch.inference_mode():
            text = self._text([request.prompt for request in requests])
            noise = torch.stack([self._noise(request.seed) for request in requests]).to(weight)
            pictures = self._net(noise, text, self._settings.truncation_psi)
            pixels = (pictures.float().permute(0, 2, 3, 1) * 0.5 + 0.5).cpu().numpy()
        return [
            finish(
                image,
                truncated_tokens={"text_encoder": unread} if unread else {},
                note=_unused(request),
            )
            for image, unread, request in zip(pixels, text.truncated, requests, strict=True)
        ]

    def unload(self) -> None:
        """Drop the networks."""
        self._net = self._text = None
        gc.collect()

    def _noise(self, seed: int) -> Any:
        import torch

        return torch.randn(self._net.config.z_width, generator=torch.Generator().manual_seed(seed))


def _read_config(folder: Path) -> dict[str, Any]:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise GeneratorError(
                f"{folder} has no {name}; a GAN is a folder that 'gandiff train gan' wrote"
            )
    config = read_json(folder / CONFIG)
    model = config.pop("model", None)
    if model != MODEL:
        raise GeneratorError(
            f"{folder / CONFIG} says model {model!r}, needed is {MODEL!r}; "
            "for a diffusers pipeline use type: diffusers"
        )
    for field in ("resolution", "text_width"):
        if not isinstance(config.get(field), int):
            raise GeneratorError(f"{folder / CONFIG} lacks the number {field!r}")
    return config


def _unused(request: GenerationRequest) -> str | None:
    return "negative prompt not used: a GAN has none" if request.negative_prompt else None
