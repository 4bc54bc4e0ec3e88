"""What an edit must not change, and whether its border shows."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.evaluate.features.cache import PairFeatures
from gandiff.evaluate.features.encoders import ON_SCENES, EncoderChoice, is_shipped
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.edited import (
    IN_IMAGE,
    IN_MASK,
    UNCOMPOSITED,
    Edited,
    before_compositing,
    edited,
    row_of,
    uncomposited,
    values_of,
)
from gandiff.evaluate.metrics.prompt_texts import unit_rows
from gandiff.evaluate.numerics.regions import EQUAL_DB, border_step, psnr
from gandiff.evaluate.result import About, MetricResult, MetricSpec, Value

Values = Float[np.ndarray, " n"]
_GROUP = "What must not change"


def _with_before(about: About) -> About:
    return dataclasses.replace(about, parts={UNCOMPOSITED: before_compositing(about)})


class _OfEdits(Metric):
    """A number of each image, and of what it was before known pixels were put back."""

    def _output(
        self,
        data: MetricInput,
        numbers: Callable[[Sequence[ImageRecord | None]], Values],
        protocol: dict[str, object],
        note: Callable[[Values], str | None] = lambda values: None,
    ) -> MetricOutput:
        rows: list[MetricResult] = []
        per_image: dict[str, Values] = {}
        before = uncomposited(data.images)
        for part, images in (("", data.images), (UNCOMPOSITED, before)):
            values = numbers(images)
            if np.isnan(values).all():
                if not part:
                    raise MetricError(
                        f"{self.spec} needs pictures of what the edits began from, and none has any"
                    )
                continue
            name = f"{self.spec}/{part}" if part else str(self.spec)
            about = self.describe(part)
            rows.append(row_of(data, name, values, about, protocol, note(values)))
            per_image[name] = values
        return MetricOutput(results=rows, per_image=per_image)


class KeptPsnr(_OfEdits):
    """``kept_psnr``: peak signal-to-noise ratio outside of the region that may change, in dB.

    10 log10(255^2 / MSE) of image and init image over the pixels outside, averaged over images.
    """

    spec = MetricSpec("kept_psnr")
    about = _with_before(
        About(
            label="PSNR of kept pixels",
            meaning="How near the image is to the picture it began from outside of the region that "
            "may change: peak signal-to-noise ratio.",
            group=_GROUP,
            unit="dB",
            axis="preservation",
            priority=0,
            direction="higher",
        )
    )
    tasks = IN_IMAGE
    needs_edit = ("init_image", "region")

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row, and one of the images before compositing where there are any."""

        def numbers(images: Sequence[ImageRecord | None]) -> Values:
            return values_of(data, images, self.needs_edit, _psnr_outside)

        return self._output(data, numbers, {"equal_pictures_db": round(EQUAL_DB, 2)}, _equal_note)


def _psnr_outside(one: Edited) -> float:
    return psnr(one.pixels, one.picture("init_image"), ~one.region)


def _equal_note(values: Values) -> str | None:
    equal, known = int(np.sum(values >= EQUAL_DB - 1e-9)), int(np.sum(~np.isnan(values)))
    if not equal:
        return None
    return f"{equal} of {known} equal in every pixel, which counts as {EQUAL_DB:.1f} dB"


class KeptDistance(_OfEdits):
    """``kept_distance(encoder=...)``: distance of image and init image where nothing may change.

    The region that may change is filled from the init image in both, so that nothing but the rest
    counts. The distance is 1 - cosine of the features, or with ``encoder=lpips`` LPIPS.
    """

    about = _with_before(
        About(
            label="change outside",
            meaning="Distance, in the features of the named encoder, of the image from the picture "
            "it began from, outside of the region that may change.",
            group=_GROUP,
            axis="preservation",
            priority=2,
            direction="lower",
        )
    )
    tasks = IN_IMAGE
    needs_edit = ("init_image", "region")
    scene_defaults = ON_SCENES

    def __init__(self, *, encoder: Value = "lpips", **how: Value) -> None:
        choice = EncoderChoice.of("kept_distance", encoder, how)
        self._encoder = choice.name
        self.encoders = (self._encoder,)
        self.optional = not is_shipped(self._encoder)
        self.spec = choice.spec("kept_distance")

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row, and one of the images before compositing where there are any."""
        protocol = data.features.protocol(self._encoder)
        protocol["distance"] = "LPIPS" if self._is_lpips else "1 - cosine"
        return self._output(data, lambda images: self._distances(data, images), protocol)

    @property
    def _is_lpips(self) -> bool:
        return self._encoder.partition("+")[0] == "lpips"

    def _distances(self, data: MetricInput, images: Sequence[ImageRecord | None]) -> Values:
        found = np.full(len(images), math.nan)
        places, pairs = list[int](), list[tuple[ImageRecord, ImageRecord]]()
        with tempfile.TemporaryDirectory(prefix="gandiff-kept-") as folder:
            for place, one in enumerate(edited(data, images)):
                if one is None or one.edit.init_image is None or one.edit.region is None:
                    continue
                init = one.picture("init_image")
                pixels = np.where(one.region[..., None], init, one.pixels)
                path = Path(folder) / f"{place}.png"
                Image.fromarray(pixels).save(path)
                made = dataclasses.replace(one.image, path=path, sha256=file_sha256(path))
                places.append(place)
                pairs.append((made, one.edit.init_image))
            if places:
                found[places] = self._apart(data, pairs)
        return found

    def _apart(self, data: MetricInput, pairs: Sequence[tuple[ImageRecord, ImageRecord]]) -> Values:
        features = data.features
        if self._is_lpips:
            if not isinstance(features, PairFeatures):
                raise MetricError(f"{self.spec} needs distances of images")
            return np.array([features.distances(self._encoder, pair)[0, 1] for pair in pairs])
        one, two = (
            unit_rows(features(self._encoder, [pair[side] for pair in pairs])) for side in (0, 1)
        )
        # Unit vectors: |x - y|^2 / 2 = 1 - cos, without the cancellation of 1 - x.y.
        return np.asarray(((one - two) ** 2).sum(axis=1) / 2)


class Seam(_OfEdits):
    """``seam``: how far the image's step across the border of the mask is from a real one's.

    The step is the mean absolute difference of neighbours on either side of the border. Of each
    image that of the target is taken away, or where none is known, of the init image, at the same
    border; what is left counts without its sign, so that borders that show and borders that are
    blurred do not cancel.
    """

    spec = MetricSpec("seam")
    about = _with_before(
        About(
            label="seam",
            meaning="How much larger, or smaller, the steps between neighbouring pixels across the "
            "border of the mask are than in a real picture: a border that shows, or is blurred.",
            group=_GROUP,
            unit="levels",
            axis="preservation",
            priority=3,
            direction="lower",
        )
    )
    tasks = IN_MASK
    needs_edit = ("init_image", "region")

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row, and one of the images before compositing where there are any."""
        beside = {"target" if one.edit and one.edit.target else "init_image" for one in data.images}

        def numbers(images: Sequence[ImageRecord | None]) -> Values:
            return values_of(data, images, self.needs_edit, _extra_step)

        return self._output(data, numbers, {"beside": ", ".join(sorted(beside))})


def _extra_step(one: Edited) -> float:
    real = one.read("target")
    region = one.region
    real = one.picture("init_image") if real is None else real
    return abs(border_step(one.pixels, region) - border_step(real, region))
