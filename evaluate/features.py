"""Features of images: encoders found by name, every image encoded once and kept by its content."""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gandiff.evaluate.checks import did_you_mean
from gandiff.evaluate.feature_store import FeatureStore
from gandiff.evaluate.images import (
    ODDITIES,
    DecodedImage,
    UnreadableImageError,
    describe_unreadable,
    read_image,
)
from gandiff.evaluate.metric import Features, ImageRecord
from gandiff.evaluate.result import MetricError, Value

_PACKAGE = "gandiff.evaluate.extractors"
_ENCODERS = {  # family: (module below extractors/, description)
    "scenes": ("scene_features", "scene classifier A, shipped; 32 px scenes"),
    "scenes_b": ("scene_features", "scene classifier B, shipped; a cross-check of A"),
    "inception": ("inception", "Inception-v3 with the FID weights, 2048 features"),
    "clip": ("clip", "any open_clip model: clip:NAME/TAG, clip:local-dir:FOLDER, clip:scenes"),
    "dinov2": ("dinov2", "DINOv2 through transformers: dinov2:HUB_ID or dinov2:FOLDER"),
}
_NO_VARIANT = ("scenes", "scenes_b", "lpips")
RESIZES = ("legacy_tensorflow", "legacy_pytorch", "clean", "torchmetrics_antialias")
CROPS = ("none", "centre")  # centre: the largest square in the middle
_FLUSH = 1024  # images between two writes of the cache


class FeatureExtractor(abc.ABC):
    """One loaded encoder. ``features`` of an image must not depend on the others in the call."""

    name: str

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What the features depend on, JSON-able: encoder, weights_sha256, resize, crop."""

    @abc.abstractmethod
    def features(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, "n d"]:
        """Features, float32, of RGB images of any sizes."""


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


class TextFeatures(Features):
    """Features of images and of texts: what an alignment metric needs."""

    @abc.abstractmethod
    def texts(self, encoder: str, prompts: Sequence[str]) -> TextBatch:
        """Features of the prompts; raises ``MetricError`` if the encoder has no text side."""


def encoder_names() -> dict[str, str]:
    """The encoders that can be named, with a line on each."""
    return {name: description for name, (_, description) in _ENCODERS.items()}


def check_encoder(
    encoder: Value, resize: Value | None = None, crop: Value | None = None
) -> str:
    """The full name of an encoder: ``family``, ``family:variant``, with how it resizes and crops.

    ``resize`` is for Inception, whose images come to 299 px in several ways; ``crop`` is done
    before. Both are part of the name (``inception:clean``, ``clip+centre``): other features.
    Raises ``MetricError`` for an unknown family, filter or crop.
    """
    name = str(encoder)
    whole, _, named_crop = name.partition("+")
    family, colon, variant = whole.partition(":")
    if family not in _ENCODERS:
        raise MetricError(f"there is no encoder {family!r}. {did_you_mean(family, _ENCODERS)}")
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
        raise MetricError(f"there is no {what} {word!r}. {did_you_mean(word, known)}")


def open_extractor(name: str, weights: Mapping[str, str], device: str) -> FeatureExtractor:
    """Load an encoder; ``weights`` gives local files by encoder name (``inception``,
    ``clip:ViT-B-32/openai``).

    Raises ``MetricError`` for an unknown name, and for weights that are missing and cannot be
    fetched.
    """
    family, _, variant = check_encoder(name).partition(":")
    source = weights.get(name)
    if source is None and (not variant or family == "inception"):
        source = weights.get(family)  # inception's variants are resize filters, not other weights
    module = importlib.import_module(f"{_PACKAGE}.{_ENCODERS[family][0]}")
    opener = cast(Callable[..., FeatureExtractor], module.open_encoder)
    return opener(name=name, variant=variant, source=source, device=device)


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


class FeatureCache(TextFeatures):
    """Encodes each image once per encoder and protocol, streaming over the files.

    With a folder, features stay there from run to run, found by the sha256 of the file's bytes
    (``ImageRecord. sha256``), the encoder and its protocol; a changed file or other weights are a
    miss. Without, they are kept in memory as long as this object lives.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        weights: Mapping[str, str] | None = None,
        device: str = "cpu",
        batch_size: int = 32,
        progress: bool = False,
    ) -> None:
        for name, source in (weights or {}).items():
            check_encoder(name)
            if not Path(source).exists():
                raise MetricError(f"there are no weights for the encoder {name} at {source}")
        self._folder = folder
        self._weights = dict(weights or {})
        self._device = device
        self._batch_size = batch_size
        self._progress = progress
        self._extractors: dict[str, FeatureExtractor] = {}
        self._stores: dict[str, FeatureStore] = {}
        self._odd: dict[str, set[str]] = {name: set() for name in ODDITIES}
        self._sizes: dict[str, tuple[int, int]] = {}

    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> Float[np.ndarray, "n d"]:
        """Features of the images in order, float32; raises ``MetricError`` that names unreadable
        files.
        """
        store = self._store(encoder)
        missing = {image.sha256: image for image in images if image.sha256 not in store}
        if missing:
            self._encode(encoder, store, list(missing.values()))
        rows = store.take([image.sha256 for image in images])
        for sha256, height, width, odd in zip(
            (image.sha256 for image in images), rows.heights, rows.widths, rows.flags, strict=True
        ):
            self._sizes[sha256] = (int(height), int(width))
            for bit, name in enumerate(ODDITIES):
                if int(odd) >> bit & 1:
                    self._odd[name].add(sha256)
        return rows.features

    def protocol(self, encoder: str) -> dict[str, Any]:
        """What the features depend on: encoder, weights sha256, resize filter, crop."""
        return self._extractor(encoder).protocol()

    def texts(self, encoder: str, prompts: Sequence[str]) -> TextBatch:
        """Features of prompts; raises ``MetricError`` if the encoder sees images only."""
        extractor = self._extractor(encoder)
        if not isinstance(extractor, ImageTextExtractor):
            raise MetricError(f"the encoder {encoder} cannot read text; name a CLIP model")
        return extractor.texts(prompts)

    def warnings(self) -> list[str]:
        """What was odd about the files seen so far, each kind counted once a file."""
        total = len(self._sizes)
        found = [
            f"{len(files)} of {total} images {ODDITIES[name]}"
            for name, files in self._odd.items()
            if files and not (name == "jpeg" and len(files) == total)
        ]
        sizes = Counter(self._sizes.values())
        if len(sizes) > 1:
            listed = ", ".join(f"{w}x{h}: {n}" for (h, w), n in sizes.most_common(4))
            found.append(f"the images have {len(sizes)} different sizes ({listed})")
        return found

    def _extractor(self, encoder: str) -> FeatureExtractor:
        if encoder not in self._extractors:
            self._extractors[encoder] = open_extractor(encoder, self._weights, self._device)
        return self._extractors[encoder]

    def _store(self, encoder: str) -> FeatureStore:
        if encoder not in self._stores:
            self._stores[encoder] = FeatureStore.open(self._folder, encoder, self.protocol(encoder))
        return self._stores[encoder]

    def _encode(self, encoder: str, store: FeatureStore, images: list[ImageRecord]) -> None:
        extractor = self._extractor(encoder)
        unreadable: list[tuple[ImageRecord, str]] = []
        try:
            for start in self._steps(encoder, len(images)):
                batch: list[tuple[ImageRecord, DecodedImage]] = []
                for image in images[start : start + self._batch_size]:
                    try:
                        batch.append((image, read_image(image)))
                    except UnreadableImageError as error:
                        unreadable.append((image, str(error)))
                if batch:
                    _encode_batch(extractor, store, batch)
                if store.pending >= _FLUSH:
                    store.flush()
        finally:
            store.flush()  # also on Ctrl-C: what was computed is kept
        if unreadable:
            raise MetricError(describe_unreadable(unreadable, len(images)))

    def _steps(self, encoder: str, count: int) -> Iterable[int]:
        steps = range(0, count, self._batch_size)
        if not self._progress:
            return steps
        from tqdm import tqdm

        # Shown only where it takes more than a moment.
        return tqdm(steps, desc=f"features {encoder}", unit="batch", leave=False, delay=1.0)


def _encode_batch(
    extractor: FeatureExtractor, store: FeatureStore, batch: list[tuple[ImageRecord, DecodedImage]]
) -> None:
    features = extractor.features([decoded.pixels for _, decoded in batch])
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        first = batch[int(bad[0])][0].path
        raise MetricError(f"the encoder {extractor.name} gave NaN or infinite features for {first}")
    for (image, decoded), row in zip(batch, features, strict=True):
        flags = sum(1 << bit for bit, name in enumerate(ODDITIES) if name in decoded.oddities)
        height, width = decoded.pixels.shape[:2]
        store.add(image.sha256, row, height=height, width=width, flags=flags)
