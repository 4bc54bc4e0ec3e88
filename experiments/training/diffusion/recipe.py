"""The numbers of a diffusion model's training, and the named recipes to start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from annotated_types import Ge, Gt, Interval, Lt

from gandiff.common.validation import settings_class
from gandiff.experiments.training import recipes

Positive = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]
Channels = Annotated[int, Interval(ge=8)]
Space = Literal["latent", "pixel"]
Prediction = Literal["epsilon", "v", "flow"]
Schedule = Literal["linear", "scaled_linear", "cosine", "zero_terminal", "straight"]
Solver = Literal["ddim", "euler", "dpmsolver++", "unipc"]
Timesteps = Literal["uniform", "logit-normal", "log-normal"]
Optimizer = Literal["muon", "adamw"]

_CHANNELS: Final[dict[Space, tuple[int, ...]]] = {
    # Widest at the first level with cross-attention: it is there that a shape gets its colour.
    "latent": (32, 80, 64),
    # One level more, so that attention is at 8 and 4 px, too; as many parameters as the other.
    "pixel": (24, 32, 80, 64),
}
_TRAIN_TEXT: Final[dict[Optimizer, float]] = {"muon": 0.05, "adamw": 0.5}  # of ``lr``
_GROUP = 8  # channels are normalised in so many groups
_LOG_NORMAL = ("log_noise_mean", "log_noise_std")  # what they do nothing without
AUTOENCODER_FIELDS = (
    *("factor", "latent_channels", "autoencoder_share", "autoencoder_optimizer"),
    *("autoencoder_lr", "autoencoder_lr_end", "kl", "absolute"),
)


# Changes to the defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    # Lipman et al. 2023 with the density of Esser et al. 2024, section 3.1.
    "flow": {
        "prediction": "flow",
        "schedule": "straight",
        "timesteps": "logit-normal",
    },
    # Stable Diffusion's (Rombach et al. 2022) with min-SNR weights.
    "epsilon": {
        "prediction": "epsilon",
        "schedule": "scaled_linear",
        "timesteps": "uniform",
        "min_snr": 5.0,
    },
    "pixel": {"space": "pixel"},
    # The default of earlier versions.
    "adamw": {
        "optimizer": "adamw",
        "autoencoder_optimizer": "adamw",
        "autoencoder_share": 0.15,
        "lr": 1.5e-3,
        "lr_end": 3e-5,
        "channels": (32, 64, 96),
        "attention_layers": 1,
        "log_noise_mean": 1.25,
        "log_noise_std": 0.9,
        "coarse_first": 0.0,
        "position_hints": 0.0,
    },
}


@settings_class
class DiffusionRecipe(recipes.Recipe):
    """How autoencoder and denoiser are trained; raises ``SettingError`` for what cannot work.

    The autoencoder gets ``autoencoder_share`` of the budget. Then the pictures are encoded once and
    the denoiser learns in latent space; in pixel space it learns from the pictures themselves.
    """

    family: ClassVar[str] = "diffusion"
    named: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES
    example: ClassVar[str] = "lr=5e-4,1.5e-3,4e-3"
    sampling: ClassVar[Mapping[str, str]] = {
        "solver": "scheduler",
        "sampling_steps": "num_inference_steps",
        "guidance": "guidance_scale",
    }
    checkpoints: ClassVar[tuple[str, ...]] = (
        "checkpoint.pt",
        "state/autoencoder/checkpoint.pt",
        # Of earlier versions, which had phases like these.
        "state/vae/checkpoint.pt",
        "state/unet/checkpoint.pt",
    )

    space: Space = "latent"
    """What is denoised: the latents of an autoencoder (`latent`), or `pixel`; `--space` sets it."""
    factor: Annotated[int, Ge(1)] = 2
    """Downsampling factor of the autoencoder: a power of two that divides the resolution."""
    latent_channels: Annotated[int, Ge(1)] = 4
    """Latent channels of the autoencoder."""
    autoencoder_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Fraction of the budget that the autoencoder gets; nothing in pixel space."""
    autoencoder_optimizer: Optimizer = "muon"
    """What trains the autoencoder, as `optimizer` says of the denoiser."""
    autoencoder_lr: Positive = 2e-3
    """Learning rate of the autoencoder at the start, ..."""
    autoencoder_lr_end: Positive = 5e-5
    """... and at the end; a cosine lies between."""
    kl: Weight = 1e-5
    """Weight of the KL divergence of latents from the unit Gaussian."""
    absolute: Weight = 0.5
    """Weight of the L1 loss of reconstructions, beside the squared error."""
    cached_images: Annotated[int, Ge(1)] = 60_000
    """Pictures that are encoded once and learned from, at most, and no more than the budget can
    show: 2,000 a minute on a CPU, 100,000 on a GPU, or those of `--kimg`.
    """
    channels: tuple[Channels, ...] | None = None
    """Channels of the U-Net's levels, multiples of 8, each level at half the side of the one
    before: 32,80,64 if omitted, or 24,32,80,64 in pixel space, which is as many parameters.
    """
    attention: Annotated[int, Ge(1)] = 8
    """Levels of the U-Net whose side is at most this have cross-attention to the caption and
    self-attention; the last level and the middle block always have.
    """
    attention_layers: Annotated[int, Ge(1)] = 2
    """Transformer layers per block, where there is attention."""
    prediction: Prediction = "v"
    """What the U-Net predicts: the noise (`epsilon`), the velocity of the angle between picture
    and noise (`v`, Salimans & Ho 2022), or that of straight lines (`flow`, Lipman et al. 2023).
    """
    schedule: Schedule = "cosine"
    """How signal turns into noise: `linear`, `scaled_linear` (Stable Diffusion's), `cosine`,
    `zero_terminal` (scaled_linear, stretched to end in pure noise: Lin et al. 2024), or
    `straight`, which is that of `flow`.
    """
    min_snr: Weight = 0.0
    """The error in the picture is weighted by the signal-to-noise ratio, by this at most (min-SNR,
    Hang et al. 2023), and by 0.004 at least, since solvers begin where there is no signal; 0 leaves
    errors of the prediction as they are.
    """
    timesteps: Timesteps = "log-normal"
    """Density of the noise levels that are trained: `uniform`; `logit-normal` (Esser et al. 2024),
    which has more in the middle; or `log-normal` (Karras et al. 2022), in which the logarithm of
    noise to signal is normal, with a tenth of `uniform` so that no level is left out.
    """
    log_noise_mean: Annotated[float, Interval(ge=-3, le=3)] = 1.0
    """Mean of the natural logarithm of noise to signal under `log-normal`, ..."""
    log_noise_std: Annotated[float, Interval(ge=0.25, le=4)] = 1.1
    """... and its standard deviation."""
    coarse_first: Fraction = 0.25
    """Curriculum over noise levels: for this fraction of the training, from the highest ones, at
    which the layout is decided, gradually to the density above.
    """
    position_hints: Fraction = 0.5
    """Coordinates as extra input (as in CoordConv, Liu et al. 2018): for this fraction of the
    training they are added to the U-Net's first features, fading to nothing; without this and the
    curriculum "left of" and "right of" stay a coin toss.
    """
    optimizer: Optimizer = "muon"
    """What trains the denoiser: `muon` makes the updates of its matrices orthogonal (Jordan et al.
    2024) and leaves the rest to AdamW, `adamw` leaves everything to it.
    """
    lr: Positive = 3e-3
    """Learning rate at the start, for muon and AdamW alike, ..."""
    lr_end: Positive = 6e-5
    """... and at the end; a cosine lies between."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Of AdamW, for both networks."""
    weight_decay: Weight = 1e-3
    """For the denoiser, and for the text encoder where that is fine-tuned jointly."""
    caption_dropout: Fraction = 0.1
    """Fraction of captions that are emptied, for classifier-free guidance (Ho & Salimans 2022)."""
    ema_halflife_images: Positive = 8000.0
    """After so many images a weight counts half in the average that is measured and saved."""
    train_text: Weight | None = None
    """The text encoder is fine-tuned jointly, at this times `lr`; 0 freezes it. If omitted, 0.05
    for the small one that is trained on the captions (0.5 with `optimizer=adamw`), and 0 for one
    that `--text-encoder` names. A large value undoes what the encoder has learned to read.
    """
    solver: Solver = "dpmsolver++"
    """What samples at ticks, and with the saved pipeline."""
    sampling_steps: Annotated[int, Interval(ge=1, le=1000)] = 10
    """Steps of the solver at ticks."""
    guidance: Annotated[float, Ge(1)] = 4.0
    """Guidance scale at ticks; 1 is none."""

    def __post_init__(self) -> None:
        """Check what numbers must be to each other."""
        if self.factor & (self.factor - 1):
            raise ValueError(f"factor must be a power of two, got {self.factor}")
        if any(width % _GROUP for width in self.channels or ()):
            raise ValueError(
                f"channels must be multiples of {_GROUP}, got {','.join(map(str, self.widths))}"
            )
        if self.channels == ():
            raise ValueError("channels must name one level at least")
        if (self.prediction == "flow") != (self.schedule == "straight"):
            raise ValueError(
                f"prediction={self.prediction} does not go with schedule={self.schedule}: flow is "
                "along straight lines, and they have no other prediction; set both"
            )
        if self.prediction == "epsilon" and self.schedule in ("cosine", "zero_terminal"):
            raise ValueError(
                f"prediction=epsilon does not go with schedule={self.schedule}: its last steps "
                "hold next to nothing of the picture, which does not follow from the noise there; "
                "use prediction=v, or schedule=scaled_linear"
            )
        if self.solver not in solvers_of(self):
            raise ValueError(
                f"solver={self.solver} does not go with prediction={self.prediction}; use "
                f"{' or '.join(solvers_of(self))}"
            )

    def idle(self) -> dict[str, str]:
        """The fields that do nothing in this recipe, with the reason."""
        idle: dict[str, str] = {}
        if self.timesteps != "log-normal":
            idle |= dict.fromkeys(_LOG_NORMAL, f"with timesteps={self.timesteps}")
        if self.space == "pixel":
            idle |= dict.fromkeys(AUTOENCODER_FIELDS, "with space=pixel, which has no autoencoder")
        return idle

    def settled(self, text_encoder: str | None) -> Self:
        """The recipe with the ``train_text`` that a text encoder, or none, entails."""
        if self.train_text is not None:
            return self
        own = _TRAIN_TEXT[self.optimizer] if text_encoder is None else 0.0
        return dataclasses.replace(self, train_text=own)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the U-Net's levels."""
        return _CHANNELS[self.space] if self.channels is None else self.channels

    @property
    def cell(self) -> int:
        """Downsampling factor of what is denoised: 1 in pixel space."""
        return 1 if self.space == "pixel" else self.factor

    @property
    def depth(self) -> int:
        """Channels of what is denoised."""
        return 3 if self.space == "pixel" else self.latent_channels


def solvers_of(recipe: DiffusionRecipe) -> tuple[Solver, ...]:
    """The solvers that can sample what a recipe trains."""
    return ("dpmsolver++", "unipc") if recipe.prediction == "flow" else get_args(Solver)


def fits(recipe: DiffusionRecipe, resolution: int) -> None:
    """Raise ``ValueError`` if the recipe cannot make pictures of this size."""
    if resolution < 8 or resolution % 8:
        raise ValueError("a diffusion model needs a multiple of 8")
    if resolution % recipe.cell:
        raise ValueError(f"factor={recipe.factor} does not divide it; set a power of two that does")
    side, levels = resolution // recipe.cell, len(recipe.widths)
    lowest = side >> (levels - 1)
    if lowest == 0:
        raise ValueError(
            f"{levels} levels of channels halve {side} cells a side too often; set fewer channels, "
            "or a smaller factor"
        )
    if lowest == 1 and _GROUP in recipe.widths[-2:]:  # normalised, one number says nothing
        raise ValueError(
            "the last level has one cell, so it and the one before must have "
            f"{2 * _GROUP} channels at least"
        )
