"""The scene classifiers' penultimate layers as encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from gandiff.evaluate.extractors.torch_inference import by_size
from gandiff.evaluate.features.encoders import FeatureExtractor

_JUDGES = {"scenes": "a", "scenes_b": "b"}


class SceneFeatures(FeatureExtractor):
    """Features of a frozen scene classifier."""

    def __init__(self, name: str, source: str, device: str) -> None:
        from gandiff.evaluate.extractors.scenes import SIDE, load_classifier

        self.name = name
        self._side = SIDE
        self._classifier = load_classifier(source, device)

    def protocol(self) -> dict[str, Any]:
        """The classifier resizes by itself."""
        return {
            "encoder": self.name,
            "weights_sha256": self._classifier.sha256,
            "resize": f"torch_bilinear_antialias_{self._side}",
            "crop": "none",
        }

    def prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
        """The image as it is."""
        return image

    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n d"]:
        """The penultimate layer."""
        return by_size(prepared, self._classifier.features)


def open_encoder(*, name: str, variant: str, source: str | None, device: str) -> SceneFeatures:
    """Load the judge, or one of its kind from the folder ``source``."""
    del variant  # the name says it all
    return SceneFeatures(name, source or _JUDGES[name], device)
