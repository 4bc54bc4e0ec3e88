"""Whether an edit did what was asked: the facts of scenes, and the direction of CLIP features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.evaluate.checks import refuse_unknown, spec_of
from gandiff.evaluate.features.cache import TextFeatures
from gandiff.evaluate.metric import EditRecord, ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.edited import (
    IN_IMAGE,
    UNCOMPOSITED,
    Edited,
    before_compositing,
    row_of,
    uncomposited,
    values_of,
)
from gandiff.evaluate.metrics.prompt_texts import (
    CLIP_ELSEWHERE,
    CLIP_ON_SCENES,
    check_model,
    unit_rows,
)
from gandiff.evaluate.metrics.scene_judging import judge_of, judged
from gandiff.evaluate.numerics.matching import judge_facts
from gandiff.evaluate.numerics.regions import foreground
from gandiff.evaluate.result import About, Value

Values = Float[np.ndarray, " n"]
_CHANGED, _KEPT, _BACKGROUND = "changed", "kept", "kept_background"
_IN_REGION = "changed_in_region"
_ENOUGH = 0.5  # share of what a right result has in the region that must be drawn there
_OTHER_JUDGE, _AGREEMENT = "other_judge", "agreement"
_ALL = About(
    label="edit success",
    meaning="Share of images in which a classifier finds everything that the caption after the "
    "edit states.",
    group="Alignment",
    unit="share",
    scale="percent",
    axis="alignment",
    priority=-1,
    direction="higher",
)


def _part(label: str, meaning: str, **fields: Any) -> About:
    said = {"label": label, "meaning": meaning, "group": "Edits by facts", "axis": None, **fields}
    return dataclasses.replace(_ALL, **said)


class EditSuccess(Metric):
    """``edit_success(judge=a|b|FOLDER)``: whether the facts of a scene are as the edit makes them.

    Rows ``/all`` (what the caption after states), ``/changed`` (what the edit changes), ``/kept``
    (everything that it must not change, stated or not), ``/kept_background``; and
    ``/changed_in_region``, of edits that put an object into the region: the change is there, and
    in the region at least half as many pixels as in the target differ from the background's colour.
    """

    about = dataclasses.replace(
        _ALL,
        parts={
            "all": _ALL,
            _CHANGED: _part(
                "what the edit changes",
                "Share of images in which a classifier finds all that the edit changes.",
                fact="the change",
            ),
            _IN_REGION: _part(
                "the change, in its region",
                "Share of images in which a classifier finds the change and at least half as much "
                "is drawn in the region as in a right result, of edits that put an object there.",
            ),
            _KEPT: _part(
                "what the edit keeps",
                "Share of images in which a classifier finds all that was so before and must stay, "
                "whether or not the caption says it.",
                fact="what stays",
            ),
            _BACKGROUND: _part(
                "background kept",
                "Share of images whose background a classifier finds as it was, where the edit is "
                "not of the background.",
            ),
            _OTHER_JUDGE: _part(
                "edit success by the other judge",
                "The same share by a classifier of another design and seed.",
            ),
            _AGREEMENT: _part(
                "agreement of the judges",
                "Share of images of which both classifiers say the same: that the edit succeeded, "
                "or that it did not.",
                direction="none",
            ),
            UNCOMPOSITED: before_compositing(_ALL),
        },
    )
    needs_prompts = True
    tasks = IN_IMAGE
    needs_edit = ("changed",)

    def __init__(self, *, judge: Value = "a", **unknown: Value) -> None:
        refuse_unknown("edit_success", unknown, ["judge"])
        self._judge = str(judge)
        self._other = {"a": "b", "b": "a"}.get(self._judge)  # of another design
        self.spec = spec_of("edit_success", {}, {"judge": (judge, "a")})

    def measure(self, data: MetricInput) -> MetricOutput:
        """The rows of the images, and ``/uncomposited``: all facts before known pixels were put
        back.
        """
        shares = self._shares(data)
        stated = {row: values for row, values in shares.items() if not np.isnan(values).all()}
        if "all" not in stated:
            raise MetricError(f"{self.spec} needs prompts that say what an edit changes")
        protocol = {"judge": self._judge, "weights_sha256": judge_of(data, self._judge).sha256}
        if self._other is not None:
            protocol["other_judge"] = self._other
            protocol["other_sha256"] = judge_of(data, self._other).sha256
        rows = [
            row_of(data, f"{self.spec}/{row}", values, self.describe(row), protocol)
            for row, values in stated.items()
        ]
        per_image = {f"{self.spec}/{row}": values for row, values in stated.items()}
        return MetricOutput(results=rows, per_image=per_image)

    def _shares(self, data: MetricInput) -> dict[str, Values]:
        edits = [image if image.edit and image.edit.changed else None for image in data.images]
        seen = self._seen(data, edits, self._judge)
        success = _all_right(edits, seen, lambda image: image.expected)
        shares = {
            "all": success,
            _CHANGED: _all_right(edits, seen, lambda image: image.edit and image.edit.changed),
            _KEPT: _all_right(edits, seen, lambda image: image.edit and image.edit.kept),
            _BACKGROUND: _all_right(edits, seen, _kept_background),
        }
        drawn = values_of(data, edits, ("region", "target"), _is_drawn)
        shares[_IN_REGION] = shares[_CHANGED] * drawn
        if self._other is not None:
            other = _all_right(
                edits, self._seen(data, edits, self._other), lambda image: image.expected
            )
            shares |= {_OTHER_JUDGE: other, _AGREEMENT: 1.0 - np.abs(success - other)}
        before = uncomposited(edits)
        seen_before = self._seen(data, before, self._judge)
        return shares | {
            UNCOMPOSITED: _all_right(before, seen_before, lambda image: image.expected)
        }

    def _seen(
        self, data: MetricInput, images: Sequence[ImageRecord | None], judge: str
    ) -> list[Mapping[str, Any] | None]:
        """What a judge sees in the images that are there."""
        found = iter(judged(data, judge, [image for image in images if image is not None]))
        return [None if image is None else next(found) for image in images]


def _is_drawn(one: Edited) -> float:
    """1 where enough is drawn in the region, 0 where not, NaN where no object is put there."""
    wanted = int((foreground(one.picture("target")) & one.region).sum())
    if not _puts_an_object(one.edit) or not wanted:
        return np.nan
    return float((foreground(one.pixels) & one.region).sum() >= _ENOUGH * wanted)


def _puts_an_object(edit: EditRecord) -> bool:
    """Whether the change states an object that what stays does not."""
    stays = (edit.kept or {}).get("objects", ())
    return any(
        not any(facts.items() <= one.items() for one in stays)
        for stated in (edit.changed or {}).get("objects", ())
        for facts in [{key: value for key, value in stated.items() if value is not None}]
    )


def _kept_background(image: ImageRecord) -> Mapping[str, Any] | None:
    background = ((image.edit and image.edit.kept) or {}).get("background")
    return {"objects": [], "background": background} if background else None


def _all_right(images: Sequence[ImageRecord | None], seen: Any, facts: Any) -> Values:
    """1 where all facts of an image are right, 0 where one is not, NaN where none is known."""
    stated = [None if image is None else facts(image) for image in images]
    return np.array(
        [
            judge_facts(known, found)["all"] if known and found is not None else np.nan
            for known, found in zip(stated, seen, strict=True)
        ],
        np.float64,
    )


class EditDirection(Metric):
    """``edit_direction(model=...)``: cosine of the change of the image and that of the caption in a
    CLIP model (the directional loss of Gal et al. 2022, StyleGAN-NADA, arXiv 2108.00946).

    cos(I(after) - I(before), T(after) - T(before)), all four being unit vectors.
    """

    about = About(
        label="edit direction",
        meaning="Whether the image changed as the caption did: cosine of the two differences, "
        "after minus before, in the features of the named CLIP model.",
        group="Alignment",
        unit="cosine",
        axis="alignment",
        priority=3,
        direction="higher",
    )
    needs_prompts = True
    tasks = IN_IMAGE
    needs_edit = ("init_image", "caption_before")
    scene_defaults = CLIP_ON_SCENES

    def __init__(self, *, model: Value = CLIP_ELSEWHERE, **unknown: Value) -> None:
        refuse_unknown("edit_direction", unknown, ["model"])
        self._encoder = check_model("edit_direction", model)
        self.encoders = (self._encoder,)
        self.spec = spec_of("edit_direction", {"model": model}, {})

    def measure(self, data: MetricInput) -> MetricOutput:
        """One row and the cosine of every image; one that did not change at all has 0."""
        name = str(self.spec)
        if not isinstance(data.features, TextFeatures):
            raise MetricError(f"{name} needs features of texts, and {data.features} has none")
        places, pictures, captions = [], list[ImageRecord](), list[tuple[str, str]]()
        for place, image in enumerate(data.images):
            edit = image.edit
            if edit and edit.init_image and edit.caption_before and image.prompt:
                places.append(place)
                pictures += [image, edit.init_image]
                captions.append((image.prompt, edit.caption_before))
        if not places:
            raise MetricError(f"{name} needs an init image and a caption before, and none has both")
        texts = sorted({text for pair in captions for text in pair})
        found = data.features.texts(self._encoder, texts)
        vector = dict(zip(texts, unit_rows(found.features), strict=True))
        wanted = np.stack([vector[after] - vector[before] for after, before in captions])
        features = unit_rows(data.features(self._encoder, pictures))
        values = np.full(len(data.images), np.nan)
        values[places] = _cosines(features[::2] - features[1::2], wanted)
        lost = int(found.truncated.sum())
        protocol = {**data.features.protocol(self._encoder), "truncated_prompts": lost}
        unmoved = int((values == 0).sum())
        note = f"{unmoved} did not change, which counts as 0" if unmoved else None
        row = row_of(data, name, values, self.about, protocol, note)
        return MetricOutput(results=[row], per_image={name: values})


def _cosines(one: Float[np.ndarray, "n d"], two: Float[np.ndarray, "n d"]) -> Values:
    """Cosines of rows; 0 where the first is 0, NaN where the second (equal captions) is."""
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (one * two).sum(axis=1) / (lengths[0] * lengths[1])
    return np.where((lengths[0] == 0) & (lengths[1] > 0), 0.0, cosines)
