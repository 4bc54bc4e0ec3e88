"""The encoders: how they are named, and what each of them promises."""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from gandiff.common.errors import MetricError
from gandiff.common.names import did_you_mean
from gandiff.evaluate.result import Value

_PACKAGE = "gandiff.evaluate.extractors"
_ENCODERS = {  # family: (module below extractors/, description)
    "scenes": ("scene_features", "scene classifier A, shipped; 32 px scenes"),
    "scenes_b": ("scene_features", "scene classifier B, shipped; a cross-check of A"),
    "inception": ("inception", "Inception-v3 with the FID weights, 2048 features"),
    "clip": ("clip", "any open_clip model: clip:NAME/TAG, clip:local-dir:FOLDER, clip:scenes"),
    "dinov2": ("dinov2", "DINOv2 through transformers: dinov2:HUB_ID or dinov2:FOLDER"),
    "lpips": ("lpips", "LPIPS on AlexNet: a distance of two images, for diversity only"),
}
_NO_VARIANT = ("scenes", "scenes_b", "lpips")
_COMPILED = ("inception",)
RESIZES = ("legacy_tensorflow", "legacy_pytorch", "clean", "torchmetrics_antialias")
CROPS = ("none", "centre")  # centre: the largest square in the middle


class FeatureExtractor(abc.ABC):
    """One loaded encoder. Features of an image must not depend on the others in the call.

    What needs no network is done by ``prepare``, image by image and in threads, so that it hides
    behind ``encode``. ``compile_seconds`` is what compiling took, 0 without.
    """

    name: str
    crop: str = CROPS[0]
    compile_seconds: float = 0.0

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
    return {name: description for name, (_, description) in _ENCODERS.items()}


def check_encoder(encoder: Value, resize: Value | None = None, crop: Value | None = None) -> str:
    """The full name of an encoder: ``family``, ``family:variant``, with how it resizes and crops.

    ``resize`` is for Inception, whose images come to 299 px in several ways; ``crop`` is done
    before. Both are part of the name (``inception:clean``, ``clip+centre``): other features.
    Raises ``MetricError`` for an unknown family, filter or crop.
    """
    name = str(encoder)
    whole, plus, named_crop = name.rpartition("+")
    if not plus or named_crop not in CROPS:  # a folder's name may hold the sign
        whole, named_crop = name, ""
    family, colon, variant = whole.partition(":")
    if family not in _ENCODERS:
        raise MetricError(f"there is no encoder {family!r}{did_you_mean(family, _ENCODERS)}")
    if colon and (not variant or family in _NO_VARIANT):
        raise MetricError(
            f"the encoder {family!r} cannot be written {name!r}; {_ENCODERS[family][1]}"
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
    chosen = str(crop) if crop is not None else named_crop or CROPS[0]
    _check_word("crop", chosen, CROPS)
    full = f"{family}:{variant}" if variant else family
    return full if chosen == CROPS[0] else f"{full}+{chosen}"


def _check_word(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise MetricError(f"there is no {what} {word!r}{did_you_mean(word, known)}")


def open_extractor(
    name: str, weights: Mapping[str, str], device: str, *, compile: bool = False
) -> FeatureExtractor:
    """Load an encoder; ``weights`` gives local files by encoder name (``inception``,
    ``clip:ViT-B-32/openai``). ``compile`` is for those that know how.

    Raises ``MetricError`` for an unknown name, and for weights that are missing and cannot be
    fetched.
    """
    full = check_encoder(name)
    plain, plus, crop = full.rpartition("+")
    if not plus or crop not in CROPS:
        plain, crop = full, CROPS[0]
    family, _, variant = plain.partition(":")
    source = weights.get(name, weights.get(plain))
    if source is None and (not variant or family == "inception"):
        source = weights.get(family)  # inception's variants are resize filters, not other weights
    module = importlib.import_module(f"{_PACKAGE}.{_ENCODERS[family][0]}")
    opener = cast(Callable[..., FeatureExtractor], module.open_encoder)
    extra = {"compile": True} if compile and family in _COMPILED else {}
    found = opener(name=plain, variant=variant, source=source, device=device, **extra)
    found.crop = crop
    return found


def by_size(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    encode: Callable[[UInt8[np.ndarray, "n h w 3"]], Float[np.ndarray, "n d"]],
) -> Float[np.ndarray, "n d"]:
    """Encode images of mixed sizes: one call per size, results in the order of the images."""
    places: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        places.setdefault(image.shape, []).append(index)
    rows: list[Float[np.ndarray, " d"]] = [np.empty(0, np.float32)] * len(images)
    for indices in places.values():
        encoded = encode(np.stack([images[index] for index in indices]))
        for index, row in zip(indices, encoded, strict=True):
            rows[index] = row
    return np.stack(rows).astype(np.float32, copy=False)
