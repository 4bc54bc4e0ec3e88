"""A trained text-conditioned GAN as one object: captions and noise in, pictures out.

It is saved, loaded and shared the way that the Hugging Face libraries do it:
``TextToImageGan.from_pretrained(folder_or_id)``, ``save_pretrained``, ``push_to_hub``.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from jaxtyping import Float, UInt8
from torch import Tensor

from gandiff.common.errors import GeneratorError
from gandiff.common.files import write_atomically
from gandiff.common.hub_cache import quick_hub
from gandiff.models.gan.config import CONFIG, MODEL, WEIGHTS, GanConfig, read_config
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.gan.units import UNITS
from gandiff.models.pixels import to_uint8
from gandiff.models.text import TextEncoder, TextFeatures, truncation_message
from gandiff.models.weights import find_weights, missing_weights

CARD, RECORD = "README.md", "training.json"  # what a trained folder says of itself


class TextToImageGan(
    ModelHubMixin,
    library_name="gandiff",
    tags=["gan", "text-to-image"],
    pipeline_tag="text-to-image",
):
    """A generator network with the text encoder that conditions it; frozen.

    Loaded from a folder or the hub, it keeps the model card, the training record and the dissection
    of its units that lay there, and writes them again where it is saved or pushed.
    """

    def __init__(self, net: GeneratorNetwork, text: TextEncoder) -> None:
        self.net, self.text = net.eval().requires_grad_(False), text
        self._card_files: dict[str, bytes] = {}

    @property
    def config(self) -> GanConfig:
        """What the networks are."""
        return self.net.config

    def to(self, device: str, dtype: torch.dtype = torch.float32) -> TextToImageGan:
        """Move the weights."""
        self.net.to(device=device, dtype=dtype)
        self.text.to(device, dtype)
        return self

    def noise(self, seeds: Sequence[int]) -> Float[Tensor, "n z"]:
        """z of each seed, drawn on the CPU by a generator of its own, so the same everywhere."""
        width = self.config.z_width
        generators = (torch.Generator().manual_seed(seed) for seed in seeds)
        return torch.stack([torch.randn(width, generator=one) for one in generators])

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> TextFeatures:
        """Features of prompts; each depends on its own prompt alone.

        Their ``truncated`` counts the tokens that did not fit; see ``warn_of_cut``.
        """
        return self.text(prompts)

    def warn_of_cut(self, prompts: Sequence[str], stacklevel: int = 2) -> None:
        """Say by ``warnings.warn`` how many prompts are longer than the text encoder reads."""
        cut = sum(unread > 0 for unread in self.text.truncated(prompts))
        if cut:
            message = truncation_message(cut, len(prompts), "prompt", self.text.tokenizer)
            warnings.warn(message, stacklevel=stacklevel)

    @torch.inference_mode()
    def sample(
        self,
        z: Float[Tensor, "n z"],
        text: TextFeatures,
        truncation_psi: float | Sequence[float] = 1.0,
    ) -> Float[Tensor, "n 3 h w"]:
        """Pictures in [-1, 1], not clamped; ``truncation_psi`` may differ from row to row.

        Raises ``ValueError`` for another number of psis than rows.
        """
        psi: float | Tensor
        if isinstance(truncation_psi, float | int):
            psi = float(truncation_psi)
        elif len(truncation_psi) == len(z):
            psi = torch.tensor(truncation_psi, dtype=torch.float32)
        else:
            raise ValueError(
                f"{len(z)} pictures but {len(truncation_psi)} values of truncation_psi; "
                "give one number for all, or one for each"
            )
        out: Tensor = self.net(z.to(self.like), text, psi)
        return out

    def __call__(
        self,
        prompts: str | Sequence[str],
        seeds: Sequence[int] | None = None,
        truncation_psi: float | Sequence[float] = 1.0,
    ) -> list[Any]:
        """PIL images of prompts; picture i has seed i unless ``seeds`` says otherwise.

        Warns of prompts that are too long to be read whole. Raises ``ValueError`` for another
        number of seeds or psis than prompts.
        """
        from PIL import Image

        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        chosen = list(seeds) if seeds is not None else list(range(len(texts)))
        if len(chosen) != len(texts):
            raise ValueError(f"{len(texts)} prompts but {len(chosen)} seeds; give one for each")
        self.warn_of_cut(texts, stacklevel=3)
        made = self.sample(self.noise(chosen), self.encode(texts), truncation_psi)
        return [Image.fromarray(picture) for picture in to_pixels(made)]

    @property
    def like(self) -> Tensor:
        """A weight, for device and number format."""
        weight: Tensor = self.net.start.weight
        return weight

    # Saving and loading.

    @classmethod
    def from_folder(cls, folder: Path) -> TextToImageGan:
        """Load what ``save_pretrained`` wrote; raises ``GeneratorError`` for what does not fit."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config = read_config(folder)
        try:
            with torch.random.fork_rng(devices=[]):  # building draws weights that are thrown away
                net = GeneratorNetwork(GanConfig(**config))
            state = {name: t.float() for name, t in load_file(folder / WEIGHTS).items()}
            net.load_state_dict(state)
        except SafetensorError as error:
            raise GeneratorError(f"{folder / WEIGHTS} cannot be read: {error}") from error
        except (TypeError, ValueError, RuntimeError) as error:
            raise GeneratorError(
                f"the weights in {folder} do not fit its {CONFIG}: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
        text = TextEncoder.from_pretrained(folder)
        if text.width != net.config.text_width:
            raise GeneratorError(
                f"{folder}: the text encoder is {text.width} wide, "
                f"{CONFIG} says text_width {net.config.text_width}"
            )
        gan = cls(net, text)
        kept = (name for name in (CARD, RECORD, UNITS) if (folder / name).is_file())
        gan._card_files = {name: (folder / name).read_bytes() for name in kept}
        return gan

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> TextToImageGan:
        """Load a shipped name, a folder, or an id on the hub.

        Raises ``GeneratorError`` if there is none or it does not fit.
        """
        folder = find_weights(str(name))
        if folder is None:
            folder = _fetch(
                str(name),
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        return cls.from_folder(folder)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Weights in float16, which is finer than the bf16 that training computes in."""
        save_network(save_directory, self.net)
        self.text.save_pretrained(save_directory)
        # The mixin writes its own card only where there is none, so this one comes first.
        for name, content in self._card_files.items():
            (save_directory / name).write_bytes(content)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that this model was loaded with; without one, the hub client's template."""
        if CARD in self._card_files:
            text = self._card_files[CARD].decode("utf-8", errors="replace")
            return ModelCard(text, ignore_metadata_errors=True)
        return super().generate_model_card(*args, **kwargs)


def _fetch(name: str, **options: Any) -> Path:
    """A snapshot of a repository on the hub."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with quick_hub():
            return Path(huggingface_hub.snapshot_download(name, **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise GeneratorError(
            f"{missing_weights(name)}. On the hub it cannot be fetched either: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def to_pixels(pictures: Float[Tensor, "n 3 h w"]) -> UInt8[np.ndarray, "n h w 3"]:
    """[-1, 1] to bytes, rounded."""
    return to_uint8(pictures.float().permute(0, 2, 3, 1).cpu().numpy(), low=-1.0)


def save_network(folder: Path, net: GeneratorNetwork) -> None:
    """Write ``model.safetensors`` and ``config.json``; on a full disk those before them stay."""
    from safetensors.torch import save

    state = {name: t.detach().cpu().half().contiguous() for name, t in net.state_dict().items()}
    facts = {"model": MODEL, **dataclasses.asdict(net.config)}
    write_atomically(folder / WEIGHTS, save(state))
    write_atomically(folder / CONFIG, (json.dumps(facts, indent=1) + "\n").encode())
