"""What the scale of each metric needs: what real images get, uniform noise, and plain grounds."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gandiff.common.files import file_sha256
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput
from gandiff.experiments.runs.run import Run
from gandiff.experiments.scoring.measure import measure
from gandiff.reports.ground import NOISE, PLAIN, REAL

AXES = ("alignment", "preservation", "distribution", "diversity")
_FEWEST, _MOST_PIXELS = 64, 40_000_000  # of noise and grounds: that they are bad is soon seen


def measure_anchors(
    run: Run, metrics: Sequence[Metric], data: MetricInput
) -> Iterator[dict[str, Any]]:
    """A row for each anchor and each metric of these axes that it could be had for.

    ``data`` has the images that every generator made: the anchors have their prompts.
    """
    wanted = [m for m in metrics if m.describe().axis in AXES and not m.optional]
    if not wanted or not data.images:
        return
    with tempfile.TemporaryDirectory(prefix="gandiff-anchors-") as folder:
        inputs = {REAL: _real(data), **_senseless(run, data, Path(folder))}
        for anchor, given in inputs.items():
            if given is not None:
                for metric in wanted:
                    yield from _rows(anchor, metric, given)


def _rows(anchor: str, metric: Metric, data: MetricInput) -> Iterator[dict[str, Any]]:
    if anchor == REAL and metric.describe().axis == "diversity" and metric.needs_prompts:
        return  # it compares with these very images
    for row in measure(metric, data).results:
        if row.value is not None:
            fields = ("metric", "value", "low", "high", "images", "references")
            yield {"anchor": anchor, **{name: getattr(row, name) for name in fields}}


def _real(data: MetricInput) -> MetricInput | None:
    """Real images of the same prompts, of edits their right results; else halves of the reference,
    if they are large enough.
    """
    right = [_target(image) for image in data.images if image.edit and image.edit.target]
    if right:
        return dataclasses.replace(data, images=right, memo={})
    if data.matched:
        keys = collections.Counter(image.group for image in data.images)
        chosen = [image for image in data.matched if image.sample < keys[image.group]]
        return dataclasses.replace(data, images=chosen, memo={})
    number = len(data.images)
    if not data.reference or len(data.reference) < 2 * number:
        return None  # a number that is too small would be too large a distance
    order = np.random.default_rng(data.seed).permutation(len(data.reference))
    shuffled = [data.reference[i] for i in order]
    return dataclasses.replace(data, images=shuffled[:number], reference=shuffled[number:], memo={})


def _target(image: ImageRecord) -> ImageRecord:
    """The right result in the place of an image."""
    edit = image.edit
    assert edit is not None
    assert edit.target is not None
    right, alone = edit.target, dataclasses.replace(edit, uncomposited=None)
    return dataclasses.replace(image, path=right.path, sha256=right.sha256, key=None, edit=alone)


def _senseless(run: Run, data: MetricInput, folder: Path) -> dict[str, MetricInput]:
    """Uniform noise, and grounds of one colour, for the first of the prompts."""
    with contextlib.suppress(OSError):  # a full disk takes the anchors, not the scores
        width, height = _size(run)
        number = max(_FEWEST, _MOST_PIXELS // (width * height))
        asked = data.images[:number]
        random = np.random.default_rng(data.seed)
        made: dict[str, list[ImageRecord]] = {NOISE: [], PLAIN: []}
        for i, image in enumerate(asked):
            noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            ground = np.broadcast_to(noise[:1, :1], noise.shape)
            for name, pixels in ((NOISE, noise), (PLAIN, ground)):
                made[name].append(_saved(image, pixels, folder / f"{name}-{i}.png"))
        return {
            name: dataclasses.replace(data, images=images, memo={}) for name, images in made.items()
        }
    return {}


def _saved(asked: ImageRecord, pixels: UInt8[np.ndarray, "h w 3"], path: Path) -> ImageRecord:
    """An image in the place of one that was made."""
    Image.fromarray(pixels).save(path)
    edit = asked.edit and dataclasses.replace(asked.edit, uncomposited=None)
    return dataclasses.replace(asked, path=path, sha256=file_sha256(path), key=None, edit=edit)


def _size(run: Run) -> tuple[int, int]:
    """Width and height of most images."""
    sizes = collections.Counter(
        (entry.width, entry.height)
        for name in run.batches
        for entry in run.entries(name)
        if entry.width and entry.height
    )
    (size, _), *_ = sizes.most_common(1) or [((32, 32), 0)]
    return int(size[0] or 32), int(size[1] or 32)
