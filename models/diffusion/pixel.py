"""What stands in the place of the autoencoder where a diffusion model works on pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor


class _Exactly:
    """The distribution that has one value."""

    def __init__(self, value: Tensor) -> None:
        self._value = value

    def mode(self) -> Tensor:
        """The value."""
        return self._value

    def sample(self, generator: Any = None) -> Tensor:
        """The value."""
        return self._value


class IdentityAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """An autoencoder whose latents are the pictures: 3 x h x w in [-1, 1], as they are.

    ``DiffusionPipeline.from_pretrained`` imports it by the name in ``model_index.json``, where
    gandiff is installed.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 3,
        block_out_channels: Sequence[int] = (1,),  # of length 1: a cell is a pixel
        scaling_factor: float = 1.0,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Pipelines ask a model for its device and dtype, which are those of its tensors.
        self.register_buffer("one", torch.ones(1))

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """The pictures, as a distribution without spread."""
        latents: Any = _Exactly(x)
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: Any = None) -> Any:
        """The pictures."""
        return DecoderOutput(sample=z) if return_dict else (z,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> Any:
        """The pictures."""
        return self.decode(sample, return_dict)
