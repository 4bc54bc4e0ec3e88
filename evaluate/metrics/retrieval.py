"""CLIP R-precision: whether an image is nearer to its own prompt than to the other prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from gandiff.common.errors import MetricError
from gandiff.evaluate.checks import refuse_unknown, spec_of, whole_number
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput, PlannedSets
from gandiff.evaluate.metrics.prompt_texts import (
    CLIP_ELSEWHERE,
    CLIP_ON_SCENES,
    PromptTexts,
    check_model,
    prompt_texts,
    refuse_no_cosine,
    unit_rows,
)
from gandiff.evaluate.numerics.proportions import OVER_PROMPTS, mean_over_groups
from gandiff.evaluate.result import About, MetricResult, Value

_BLOCK = 4_000_000  # cosines held at once
_TIE = 1e-9  # far below the resolution of float32 features: only equal texts come so close


class RPrecision(Metric):
    """``r_precision(model=...)``: share of images for which their own prompt has the highest
    cosine among the candidates, R = 1.

    Xu et al. 2018 (AttnGAN, arXiv 1711.10485), section 4, with the cosines of a CLIP model as in
    Park et al. 2021 (Benchmark for Compositional Text-to-Image Synthesis). Candidates
    are all different prompts of the suite, or with ``candidates=n`` the own one and n - 1 others
    that are drawn for each image (100 is the convention), so that suites of different length can be
    compared. Prompts of the same text are one candidate; the best share the credit where they tie.
    """

    about = About(
        label="R-precision",
        meaning="Share of images that lie nearer to their own prompt than to any other prompt, in "
        "the features of the named CLIP model.",
        group="Alignment",
        unit="share",
        axis="alignment",
        priority=None,
        direction="higher",
    )
    needs_prompts = True
    scene_defaults = CLIP_ON_SCENES

    def __init__(
        self, *, model: Value = CLIP_ELSEWHERE, candidates: Value | None = None, **unknown: Value
    ) -> None:
        refuse_unknown("r_precision", unknown, ["model", "candidates"])
        self._encoder = check_model("r_precision", model)
        self.encoders = (self._encoder,)
        self._candidates: int | None = None
        if candidates is not None:
            self._candidates = whole_number("r_precision", "candidates", candidates, 2)
        others = {"candidates": (self._candidates, None)}
        self.spec = spec_of("r_precision", {"model": model}, others)

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the credit of every image, 0 to 1."""
        name = str(self.spec)
        found = prompt_texts(name, data, self._encoder)
        size = self._pool_size(len(found.texts))
        images = unit_rows(data.features(self._encoder, data.images))
        refuse_no_cosine(name, data.images, (images * found.vectors[found.own]).sum(axis=1))
        credit = self._credit(data, images, found)
        interval = mean_over_groups(credit, data.clusters, data.seed)
        notes = [f"chance level {1 / size:.3g} ({size} candidates)", found.remark()]
        result = MetricResult.of(
            interval,
            self.about,
            metric=name,
            images=len(credit),
            protocol={
                **data.features.protocol(self._encoder),
                "truncation": "keeps the end token",
                "candidates": size,
                "drawn": "all prompts" if self._candidates is None else "by image",
                "truncated_prompts": int(found.truncated.sum()),
                "interval": OVER_PROMPTS,
            },
            note="; ".join(filter(None, notes)),
        )
        return MetricOutput(results=[result], per_image={name: credit})

    def shortage(self, planned: PlannedSets) -> str | None:
        """There must be as many different prompts as candidates."""
        try:
            self._pool_size(planned.texts)
        except MetricError as error:
            return str(error)
        return super().shortage(planned)

    def _pool_size(self, texts: int) -> int:
        if texts < 2:
            raise MetricError(f"{self.spec} needs 2 different prompts or more and found {texts}")
        if (self._candidates or 0) > texts:
            raise MetricError(
                f"{self.spec} needs {self._candidates} different prompts and found {texts}; "
                "give a smaller 'candidates'"
            )
        return self._candidates or texts

    def _credit(
        self, data: MetricInput, images: Float[np.ndarray, "n d"], found: PromptTexts
    ) -> Float[np.ndarray, " n"]:
        credit = np.empty(len(images))
        step = max(1, _BLOCK // len(found.texts))
        for start in range(0, len(images), step):
            here = slice(start, start + step)
            cosines = images[here] @ found.vectors.T
            if self._candidates is not None:
                cosines[~self._drawn(data.images[here], found, start, data.seed)] = -np.inf
            own = np.take_along_axis(cosines, found.own[here, None], axis=1)[:, 0]
            least = cosines.max(axis=1) - _TIE
            credit[here] = (own >= least) / (cosines >= least[:, None]).sum(axis=1)
        return credit

    def _drawn(
        self, images: Sequence[ImageRecord], found: PromptTexts, start: int, seed: int
    ) -> Bool[np.ndarray, "n p"]:
        """Which texts are candidates: depends on the image's prompt and sample and the seed
        alone, not on the other images.
        """
        assert self._candidates is not None
        total = len(found.texts)
        chosen = np.zeros((len(images), total), dtype=bool)
        for row, image in enumerate(images):
            own = int(found.own[start + row])
            text = f"candidates {seed} {image.group} {image.sample}"
            rng = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
            others = rng.choice(total - 1, self._candidates - 1, replace=False)
            chosen[row, others + (others >= own)] = True
            chosen[row, own] = True
        return chosen
