"""Prompts beside their images in a CLIP model: what every metric of image and text shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from gandiff.common.errors import MetricError
from gandiff.common.words import agree, counted
from gandiff.evaluate.features.cache import TextFeatures
from gandiff.evaluate.metric import ImageRecord, MetricInput
from gandiff.evaluate.result import Value

CLIP_ON_SCENES = {"model": "scenes"}  # the default model of pictures that are rendered scenes
CLIP_ELSEWHERE = "ViT-B-32/openai"  # that of all others, as in Hessel et al. 2021


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptTexts:
    """The different texts of a set of images, each once and sorted, with their unit vectors.

    ``own`` is the place of each image's text; ``truncated`` marks the texts that were too long.
    """

    texts: Sequence[str]
    vectors: Float[np.ndarray, "p d"]
    truncated: Bool[np.ndarray, " p"]
    own: Int[np.ndarray, " n"]

    def remark(self) -> str | None:
        """How many prompts lost their end, if any did."""
        lost = int(self.truncated.sum())
        of = counted(len(self.texts), "prompt")
        return f"{lost} of {of} {agree(lost, 'were truncated')}" if lost else None


def check_model(metric: str, model: Value) -> str:
    """The encoder of a CLIP model's name; raises ``MetricError`` if that is empty."""
    if not str(model).strip():
        raise MetricError(f"the parameter 'model' of the metric {metric} is empty")
    return f"clip:{model}"


def prompt_texts(name: str, data: MetricInput, encoder: str, prefix: str = "") -> PromptTexts:
    """Encode the images' prompts, each after ``prefix`` and a space.

    Raises ``MetricError`` if there is no image, if one has no prompt, or if the encoder reads none.
    """
    if not isinstance(data.features, TextFeatures):
        raise MetricError(f"{name} needs features of texts, and {data.features} has none")
    prompts = [_prompt(name, image) for image in data.images]
    if not prompts:
        raise MetricError(f"{name} needs at least 1 image and found none")
    # Sorted, so that the order of the images cannot change what is drawn from the texts.
    texts = sorted(set(prompts))
    found = data.features.texts(encoder, [f"{prefix} {text}" if prefix else text for text in texts])
    place = {text: index for index, text in enumerate(texts)}
    return PromptTexts(
        texts=texts,
        vectors=unit_rows(found.features),
        truncated=found.truncated,
        own=np.array([place[prompt] for prompt in prompts], dtype=np.int64),
    )


def unit_rows(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1 in float64; NaN where a row is all 0."""
    wide = rows.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, "n d"] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return found


def refuse_no_cosine(
    name: str, images: Sequence[ImageRecord], cosines: Float[np.ndarray, " n"]
) -> None:
    """Raise ``MetricError`` naming the first image whose cosine with its prompt is NaN."""
    bad = np.flatnonzero(~np.isfinite(cosines))
    if len(bad):
        raise MetricError(
            f"{name}: {len(bad)} of {counted(len(images), 'image')} "
            f"{agree(len(bad), 'have no cosine with the prompt')} "
            f"(features NaN or all 0), the first being {images[int(bad[0])].path}"
        )


def _prompt(name: str, image: ImageRecord) -> str:
    if not image.prompt:
        raise MetricError(f"{name} needs the prompt of every image, and {image.path} has none")
    return image.prompt
