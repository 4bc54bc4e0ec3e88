"""Features of images: every image decoded and encoded once, and kept by its content."""

from __future__ import annotations

import abc
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.common.images import FRAMES, ODDITIES
from gandiff.common.words import agree, counted
from gandiff.evaluate.features.encoders import (
    CROPS,
    FeatureExtractor,
    ImageTextExtractor,
    PairExtractor,
    TextBatch,
    check_encoder,
    open_extractor,
)
from gandiff.evaluate.features.encoding import encode_images
from gandiff.evaluate.features.images import describe_unreadable, read_pixels
from gandiff.evaluate.features.store import FeatureStore, StoredRows
from gandiff.evaluate.features.weights import check_weights
from gandiff.evaluate.metric import Features, ImageRecord


class TextFeatures(Features):
    """Features of images and of texts: what an alignment metric needs."""

    @abc.abstractmethod
    def texts(self, encoder: str, prompts: Sequence[str]) -> TextBatch:
        """Features of the prompts; raises ``MetricError`` if the encoder has no text side."""


class PairFeatures(TextFeatures):
    """Distances besides: of encoders that compare two images and give no features."""

    @abc.abstractmethod
    def distances(self, encoder: str, images: Sequence[ImageRecord]) -> Float[np.ndarray, "n n"]:
        """The distance of every two images, which are held in memory at once.

        Raises ``MetricError`` for a file that cannot be read and an encoder of features.
        """


class FeatureCache(PairFeatures):
    """Encodes each image once per encoder and protocol, streaming over the files.

    With a folder, features stay there from run to run, found by the sha256 of the file's bytes
    (``ImageRecord.sha256``), the encoder and its protocol; a changed file or other weights are a
    miss. Without, they are kept in memory as long as this object lives.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        weights: Mapping[str, str] | None = None,
        device: str = "cpu",
        batch_size: int = 32,
        compile: bool = False,
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
        self._compile = compile
        self._progress = progress
        self._extractors: dict[str, FeatureExtractor] = {}
        self._stores: dict[str, FeatureStore] = {}
        self._odd: dict[str, set[str]] = {name: set() for name in ODDITIES}
        self._sizes: dict[str, tuple[int, int]] = {}

    def __call__(self, encoder: str, images: Sequence[ImageRecord]) -> Float[np.ndarray, "n d"]:
        """Features of the images in order, float32; raises ``MetricError`` that names unreadable
        files.
        """
        return self.rows(encoder, images)[:]

    def rows(self, encoder: str, images: Sequence[ImageRecord]) -> StoredRows:
        """The same, read from the disk in the parts that are asked for."""
        extractor = self._extractor(encoder)
        if isinstance(extractor, PairExtractor):
            extractor.encode([])  # refuses, and says what it is for
        bad = self.compute([encoder], images)
        if bad:
            named = [(image, bad[image.sha256]) for image in images if image.sha256 in bad]
            raise MetricError(describe_unreadable(named, len(images)))
        store = self._store(encoder)
        self._look(store, [image.sha256 for image in images])
        return store.rows([image.sha256 for image in images])

    def compute(self, encoders: Sequence[str], images: Sequence[ImageRecord]) -> dict[str, str]:
        """Encode what is missing, each file decoded once for all encoders.

        Returns the files that cannot be read: their sha256 and why. Encoding goes on after them.
        """
        encoders = [n for n in encoders if not isinstance(self._extractor(n), PairExtractor)]
        stores = {name: self._store(name) for name in encoders}
        missing: dict[str, tuple[ImageRecord, list[str]]] = {}
        for image in images:
            wanted = [name for name, store in stores.items() if image.sha256 not in store]
            if wanted:
                missing[image.sha256] = (image, wanted)
        if not missing:
            return {}
        return encode_images(
            list(missing.values()),
            {name: self._extractor(name) for name in encoders},
            stores,
            batch_size=self._batch_size,
            progress=self._progress,
        )

    def protocol(self, encoder: str) -> dict[str, Any]:
        """What the features depend on: encoder, weights sha256, resize filter, crop, and of the
        decoder what becomes of alpha and which of several frames is taken.
        """
        extractor = self._extractor(encoder)
        crop = {} if extractor.crop == CROPS[0] else {"crop": "centre"}
        return {**extractor.protocol(), **crop, "alpha": extractor.alpha, "frames": FRAMES}

    def texts(self, encoder: str, prompts: Sequence[str]) -> TextBatch:
        """Features of prompts; raises ``MetricError`` if the encoder sees images only."""
        extractor = self._extractor(encoder)
        if not isinstance(extractor, ImageTextExtractor):
            raise MetricError(f"the encoder {encoder} cannot read text; name a CLIP model")
        return extractor.texts(prompts)

    def distances(self, encoder: str, images: Sequence[ImageRecord]) -> Float[np.ndarray, "n n"]:
        """The distance of every two images, computed again each time."""
        extractor = self._extractor(encoder)
        if not isinstance(extractor, PairExtractor):
            raise MetricError(f"the encoder {encoder} gives features and compares no images")
        return extractor.distances(
            [
                extractor.crop_and_prepare(pixels)
                for pixels in read_pixels(images, alpha=extractor.alpha)
            ]
        )

    def files(self) -> list[Path]:
        """The files that the weights of the encoders opened so far were read from, sorted."""
        return sorted({file for one in self._extractors.values() for file in one.files})

    def warnings(self) -> list[str]:
        """What was odd about the files seen so far, each kind counted once a file, and about the
        encoders.
        """
        total = len(self._sizes)
        found = [
            f"{len(files)} of {counted(total, 'image')} {agree(len(files), ODDITIES[name])}"
            for name, files in self._odd.items()
            if files and not (name == "jpeg" and len(files) == total)
        ]
        sizes = Counter(self._sizes.values())
        if len(sizes) > 1:
            listed = ", ".join(f"{w}x{h}: {n}" for (h, w), n in sizes.most_common(4))
            found.append(f"the images have {len(sizes)} different sizes ({listed})")
        said = [remark for found in self._extractors.values() for remark in found.remarks()]
        return [*found, *dict.fromkeys(said)]

    def compile_seconds(self) -> float:
        """What compiling the encoders took so far."""
        return sum(extractor.compile_seconds for extractor in self._extractors.values())

    def _look(self, store: FeatureStore, sha256s: Sequence[str]) -> None:
        facts = store.facts(sha256s)
        for sha256, height, width, odd in zip(
            sha256s, facts.heights, facts.widths, facts.flags, strict=True
        ):
            self._sizes[sha256] = (int(height), int(width))
            for bit, name in enumerate(ODDITIES):
                if int(odd) >> bit & 1:
                    self._odd[name].add(sha256)

    def _extractor(self, encoder: str) -> FeatureExtractor:
        if encoder not in self._extractors:
            check_weights(encoder, self._weights)
            self._extractors[encoder] = open_extractor(
                encoder, self._weights, self._device, compile=self._compile
            )
        return self._extractors[encoder]

    def _store(self, encoder: str) -> FeatureStore:
        if encoder not in self._stores:
            key = {**self.protocol(encoder), **_beside(self._extractor(encoder).files)}
            self._stores[encoder] = FeatureStore.open(self._folder, encoder, key)
        return self._stores[encoder]


def _beside(files: Sequence[Path]) -> dict[str, str]:
    """A hash of what an encoder reads besides its weights, the first of its files."""
    if len(files) < 2:
        return {}
    digest = hashlib.sha256()
    for file in files[1:]:
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return {"beside_sha256": digest.hexdigest()}
