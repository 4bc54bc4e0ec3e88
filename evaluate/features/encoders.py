"""The encoders: how they are named, and what each of them promises."""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from gandiff.common.devices import check_device
from gandiff.common.errors import MetricError
from gandiff.common.images import ALPHAS, Alpha
from gandiff.common.names import did_you_mean
from gandiff.evaluate.checks import refuse_unknown, spec_of
from gandiff.evaluate.result import MetricSpec, Value

_PACKAGE = "gandiff.evaluate.extractors"


class Listed(NamedTuple):
    """An encoder that can be named: the module below extractors/, and a line about it.

    ``variants`` says that ``family:variant`` can be written, ``compiles`` that it takes
    ``compile``, and ``shipped`` which names need no weights from elsewhere.
    """

    module: str
    says: str
    variants: bool = True
    compiles: bool = False
    shipped: tuple[str, ...] = ()


_ENCODERS = {
    "scenes": Listed(
        "scene_features",
        "scene classifier A, shipped; 32 px scenes",
        variants=False,
        shipped=("scenes",),
    ),
    "scenes_b": Listed(
        "scene_features",
        "scene classifier B, shipped; a cross-check of A",
        variants=False,
        shipped=("scenes_b",),
    ),
    "inception": Listed(
        "inception", "Inception-v3 with the FID weights, 2048 features", compiles=True
    ),
    "clip": Listed(
        "clip",
        "any open_clip model: clip:NAME/TAG, clip:local-dir:FOLDER, clip:scenes",
        shipped=("clip:scenes",),
    ),
    "dinov2": Listed("dinov2", "DINOv2 through transformers: dinov2:HUB_ID or dinov2:FOLDER"),
    "lpips": Listed(
        "lpips", "LPIPS on AlexNet: a distance of two images, for diversity only", variants=False
    ),
}
ON_SCENES = {"encoder": "scenes"}  # the default encoder of pictures that are rendered scenes
ELSEWHERE = "inception"  # that of all others
RESIZES = ("legacy_tensorflow", "legacy_pytorch", "clean", "torchmetrics_antialias")
CROPS = ("none", "centre")  # centre: the largest square in the middle
# What a name may end in, each after a "+": other features.
_SUFFIXES = {**{crop: ("crop", crop) for crop in CROPS}, "alpha-drop": ("alpha", "drop")}


class FeatureExtractor(abc.ABC):
    """One loaded encoder. Features of an image must not depend on the others in the call.

    What needs no network is done by ``prepare``, image by image and in threads, so that it hides
    behind ``encode``. ``compile_seconds`` is what compiling took, 0 without.
    """

    name: str
    crop: str = CROPS[0]
    alpha: Alpha = ALPHAS[0]
    compile_seconds: float = 0.0
    files: Sequence[Path] = ()  # that the weights and what belongs to them were read from

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What the features depend on, JSON-able: encoder, weights_sha256, resize, crop."""

    @abc.abstractmethod
    def prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Shaped[np.ndarray, ...]:
        """One RGB image of any size as ``encode`` takes it: resized, scaled."""

    @abc.abstractmethod
    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n d"]:
        """Features, float32, of prepared images."""

    def crop_and_prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Shaped[np.ndarray, ...]:
        """``prepare`` after the crop that was asked for by name."""
        return self.prepare(centre_square(image) if self.crop == "centre" else image)

    def features(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, "n d"]:
        """Features, float32, of RGB images of any sizes."""
        return self.encode([self.crop_and_prepare(image) for image in images])

    def remarks(self) -> list[str]:
        """What a reader of any number from this encoder should be warned of."""
        return []


def centre_square(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
    """The largest square in the middle; an odd pixel is cut from the end."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Features of prompts, and which prompts were too long for the encoder and lost their end."""

    features: Float[np.ndarray, "n d"]
    truncated: Bool[np.ndarray, " n"]


class ImageTextExtractor(FeatureExtractor):
    """An encoder that puts texts into the same space as images."""

    @abc.abstractmethod
    def texts(self, prompts: Sequence[str]) -> TextBatch:
        """Features of the prompts, float32, comparable with those of images by their cosine."""


class PairExtractor(FeatureExtractor):
    """An encoder that compares images: it has distances and no features."""

    @abc.abstractmethod
    def distances(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n n"]:
        """The distance of every two prepared images."""

    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n d"]:
        """Refuse with ``MetricError``."""
        raise MetricError(
            f"{self.name} is a distance between two images and has no features; "
            f"name it as diversity(encoder={self.name})"
        )


def encoder_names() -> dict[str, str]:
    """The encoders that can be named, with a line on each."""
    return {name: entry.says for name, entry in _ENCODERS.items()}


def is_shipped(name: str) -> bool:
    """Whether the weights of an encoder, by its full name, come with the project."""
    plain = _split(name)[0]
    return plain in _ENCODERS[plain.partition(":")[0]].shipped


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderChoice:
    """An encoder as the parameters of a metric name it, and how images come to it.

    ``resize`` is for Inception, whose images come to 299 px in several ways; ``crop`` is done
    before. ``alpha`` is what becomes of transparency: ``white`` lays the image over white,
    ``drop`` ignores it, as other FID packages do.
    """

    encoder: Value
    resize: Value | None = None
    crop: Value | None = None
    alpha: Value | None = None

    @classmethod
    def of(
        cls,
        metric: str,
        encoder: Value,
        given: Mapping[str, Value],
        others: Sequence[str] = (),
        how: Sequence[str] = ("resize", "crop", "alpha"),
    ) -> EncoderChoice:
        """Of the keyword arguments of a metric that also takes ``others``; ``MetricError`` for an
        unknown one.
        """
        unknown = {name: value for name, value in given.items() if name not in how}
        refuse_unknown(metric, unknown, ["encoder", *how, *others])
        return cls(encoder=encoder, **given)

    @property
    def name(self) -> str:
        """The full name, by which features are asked for; raises ``MetricError``."""
        return check_encoder(self.encoder, self.resize, self.crop, self.alpha)

    def spec(
        self,
        metric: str,
        shown: Mapping[str, Value] | None = None,
        **others: tuple[Value | None, Value | None],
    ) -> MetricSpec:
        """The metric's one name: encoder and ``shown`` always, the rest where it is not the default
        (``others`` are a value and its default).
        """
        how = {
            "resize": (self.resize, RESIZES[0]),
            "crop": (self.crop, CROPS[0]),
            "alpha": (self.alpha, ALPHAS[0]),
        }
        return spec_of(metric, {"encoder": self.encoder, **(shown or {})}, {**how, **others})


def check_encoder(
    encoder: Value,
    resize: Value | None = None,
    crop: Value | None = None,
    alpha: Value | None = None,
) -> str:
    """The full name of an encoder: ``family``, ``family:variant``, with how images come to it.

    What is not the default is part of the name (``inception:clean``, ``clip+centre+alpha-drop``).
    Raises ``MetricError`` for an unknown family, filter, crop or rule for transparency.
    """
    name = str(encoder)
    whole, named = _split(name)
    family, colon, variant = whole.partition(":")
    if family not in _ENCODERS:
        raise MetricError(f"there is no encoder {family!r}{did_you_mean(family, _ENCODERS)}")
    if colon and not (variant and _ENCODERS[family].variants):
        raise MetricError(
            f"the encoder {family!r} cannot be written {name!r}; {_ENCODERS[family].says}"
        )
    if resize is not None:
        if family != "inception":
            raise MetricError(f"the encoder {family} resizes in one way only; leave out 'resize'")
        if variant and variant != resize:
            raise MetricError(f"{name!r} and resize={resize} name two ways to resize; give one")
        variant = str(resize)
    if family == "inception":
        _check_word("resize filter", variant or RESIZES[0], RESIZES)
        variant = "" if variant == RESIZES[0] else variant
    crop = str(crop) if crop is not None else named.get("crop", CROPS[0])
    alpha = str(alpha) if alpha is not None else named.get("alpha", ALPHAS[0])
    _check_word("crop", crop, CROPS)
    _check_word("rule for transparency, 'alpha',", alpha, ALPHAS)
    full = f"{family}:{variant}" if variant else family
    return full + (f"+{crop}" if crop != CROPS[0] else "") + ("+alpha-drop" * (alpha == "drop"))


def _split(name: str) -> tuple[str, dict[str, str]]:
    """A name without what it ends in, and that by its kind; a folder's name may hold the sign."""
    said: dict[str, str] = {}
    plain, plus, word = name.rpartition("+")
    while plus and word in _SUFFIXES:
        kind, value = _SUFFIXES[word]
        name, said = plain, {kind: value, **said}
        plain, plus, word = name.rpartition("+")
    return name, said


def _check_word(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise MetricError(f"there is no {what} {word!r}{did_you_mean(word, known)}")


def open_extractor(
    name: str, weights: Mapping[str, str], device: str, *, compile: bool = False
) -> FeatureExtractor:
    """Load an encoder; ``weights`` gives local files by encoder name (``inception``,
    ``clip:ViT-B-32/openai``). ``compile`` is for those that know how.

    Raises ``MetricError`` for an unknown name, for a device that is not here, and for weights that
    are missing and cannot be fetched.
    """
    device = check_device(device, MetricError)
    module, variant, source = encoder_module(name, weights)
    plain, how = _split(check_encoder(name))
    opener = cast(Callable[..., FeatureExtractor], module.open_encoder)
    extra = {"compile": True} if compile and _ENCODERS[plain.partition(":")[0]].compiles else {}
    extractor = opener(name=plain, variant=variant, source=source, device=device, **extra)
    extractor.crop = how.get("crop", CROPS[0])
    extractor.alpha = cast(Alpha, how.get("alpha", ALPHAS[0]))
    return extractor


def encoder_module(name: str, weights: Mapping[str, str]) -> tuple[ModuleType, str, str | None]:
    """The module of an encoder, its variant, and where its weights were said to be."""
    plain, _ = _split(check_encoder(name))
    family, _, variant = plain.partition(":")
    module = importlib.import_module(f"{_PACKAGE}.{_ENCODERS[family].module}")
    names = [name, plain]
    default = getattr(module, "DEFAULT_MODEL", None)
    # Inception's variants are resize filters, not other weights.
    if family == "inception" or variant in ("", default):
        names += [family, f"{family}:{default}"]
    return module, variant, next((weights[key] for key in names if key in weights), None)
