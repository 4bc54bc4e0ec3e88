"""The pictures of edits beside what they began from: decoded once, and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gandiff.common.errors import MetricError
from gandiff.common.images import ALPHAS, UnreadableImageError
from gandiff.evaluate.features.images import describe_unreadable, read_image
from gandiff.evaluate.metric import EditRecord, ImageRecord, MetricInput
from gandiff.evaluate.numerics.proportions import OVER_PROMPTS, mean_over_groups
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups
from gandiff.evaluate.result import About, Interval, MetricResult

UNCOMPOSITED = (
    "uncomposited"  # the part of a row that is of images before known pixels were put back
)
IN_IMAGE = ("image_to_image", "inpaint", "paint")  # tasks that begin from a picture
IN_MASK = ("inpaint", "paint")  # those that put known pixels back
_RECENT, _MOST_BYTES = 16, 2**28  # pictures that stay decoded: so many, or more if they are small
Picture = UInt8[np.ndarray, "h w 3"]


class Edited(NamedTuple):
    """An image (or what it was before known pixels were put back) and the pictures of its edit."""

    image: ImageRecord
    pixels: np.ndarray  # uint8, (h, w, 3)
    edit: EditRecord
    read: Callable[[str], np.ndarray | None]  # a picture of the edit by its field, the same shape

    def picture(self, field: str) -> UInt8[np.ndarray, "_ _ 3"]:
        """One that is there; raises ``MetricError`` where it is not."""
        found = self.read(field)
        if found is None:
            raise MetricError(f"the prompt of {self.image.path} has no {field}")
        return found

    @property
    def region(self) -> Bool[np.ndarray, "_ _"]:
        """Where the image may differ from its init image."""
        return np.asarray(self.picture("region")[..., 0] > 127)


def uncomposited(images: Sequence[ImageRecord | None]) -> list[ImageRecord | None]:
    """The same images as they were before known pixels were put back; None where none were."""
    found = list[ImageRecord | None]()
    for image in images:
        before = image.edit.uncomposited if image is not None and image.edit is not None else None
        if image is None or before is None:
            found.append(None)
        else:
            found.append(dataclasses.replace(image, path=before.path, sha256=before.sha256))
    return found


def edited(data: MetricInput, images: Sequence[ImageRecord | None]) -> Iterator[Edited | None]:
    """The pictures of each edit; None where there is no image or nothing is known of an edit.

    Raises ``MetricError`` for files that cannot be read and for sizes that differ.
    """
    for image in images:
        if image is None or image.edit is None:
            yield None
            continue
        pixels, edit = _pixels(data, image), image.edit

        def read(
            field: str, pixels: Any = pixels, edit: EditRecord = edit, image: ImageRecord = image
        ) -> Any:
            record = getattr(edit, field)
            if record is None:
                return None
            found = _pixels(data, record)
            if found.shape != pixels.shape:
                sizes = (f"{one.shape[1]}x{one.shape[0]} px" for one in (pixels, found))
                raise MetricError(
                    f"{image.path} is {next(sizes)}, and the {field} {next(sizes)}; must be of one "
                    "size"
                )
            return found

        yield Edited(image, pixels, edit, read)


def _pixels(data: MetricInput, record: ImageRecord) -> UInt8[np.ndarray, "_ _ 3"]:
    decoded: dict[str, np.ndarray] = data.memo.setdefault("pictures of edits", {})
    found = decoded.pop(record.sha256, None)
    if found is None:
        try:
            found = read_image(record).pixels
        except UnreadableImageError as error:
            raise MetricError(describe_unreadable([(record, str(error))], 1)) from None
    decoded[record.sha256] = found  # the latest is last
    while len(decoded) > _RECENT and sum(one.nbytes for one in decoded.values()) > _MOST_BYTES:
        decoded.pop(next(iter(decoded)))
    return found


def values_of(
    data: MetricInput,
    images: Sequence[ImageRecord | None],
    fields: Sequence[str],
    measure: Callable[[Edited], float],
) -> Float[np.ndarray, " n"]:
    """A number of each image, NaN where its edit lacks one of these fields."""

    def number(one: Edited | None) -> float:
        lacks = one is None or any(getattr(one.edit, field) is None for field in fields)
        return math.nan if one is None or lacks else measure(one)

    return np.array([number(one) for one in edited(data, images)], np.float64)


def row_of(
    data: MetricInput,
    metric: str,
    values: Float[np.ndarray, " n"],
    about: About,
    protocol: dict[str, Any],
    note: str | None = None,
) -> MetricResult:
    """The mean of the values of images with its interval over prompts: of shares a score interval,
    of others, which may be 0 for all images as well, that of a bootstrap.
    """
    mean = mean_over_groups if about.scale == "percent" else bootstrap_over_groups
    interval, kept = mean(values, data.clusters, data.seed), values[~np.isnan(values)]
    if mean is bootstrap_over_groups and interval.low is not None and not np.ptp(kept):
        interval = Interval(
            **dict.fromkeys(("value", "low", "high"), float(kept[0]))
        )  # without what sums round off
    return MetricResult.of(
        interval,
        about,
        metric=metric,
        images=int(np.sum(~np.isnan(values))),
        protocol={**protocol, "alpha": ALPHAS[0], "mean": "over images", "interval": OVER_PROMPTS},
        note=note,
    )


def before_compositing(about: About) -> About:
    """The words for the row of images before known pixels were put back."""
    return dataclasses.replace(
        about,
        label=f"{about.label}, before compositing",
        meaning=f"{about.meaning} Of what was made before the known pixels were put back.",
        group="Before compositing",
        axis=None,
        parts={},
    )
