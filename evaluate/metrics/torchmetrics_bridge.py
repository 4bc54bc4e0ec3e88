"""Any image metric of torchmetrics by its class name: ``torchmetrics:TotalVariation(...)``.

What the class needs is read from the signature of its ``update``: images and whether they are real
(FID, KID), images alone (Inception score, total variation), or each image with a target (SSIM,
PSNR). The numbers are torchmetrics' own, its resizing and estimators included; several classes
keep all images or features in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import inspect
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from gandiff.common.errors import MetricError
from gandiff.common.files import file_sha256
from gandiff.common.images import ALPHAS
from gandiff.common.words import agree, counted
from gandiff.evaluate.checks import reference_of, set_sha256
from gandiff.evaluate.features.images import read_pixels
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.torchmetrics_classes import (
    bind_parameters,
    find_class,
    one_line,
    use_of,
    weights_of,
)
from gandiff.evaluate.numerics.proportions import OVER_PROMPTS, mean_over_groups
from gandiff.evaluate.result import (
    About,
    Direction,
    Interval,
    MetricResult,
    MetricSpec,
    Value,
    split_metric,
)

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "torchmetrics:"
_BATCH = 32  # images in one update
_DIRECTIONS: dict[Any, Direction] = {True: "higher", False: "lower"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reading:
    """What a class said: a value, with its own deviation, or a value for each image."""

    value: float
    deviation: float | None = None
    each: Float[np.ndarray, " n"] | None = None


class TorchmetricsMetric(Metric):
    """A torchmetrics class with its parameters bound; ``torchmetrics:NAME(...)``.

    Sets are compared with the reference images. Pairs are an image and the real one of the same
    prompt and sample, or on folders the reference image of the same relative path. Rows have an
    interval only where the class gives a value for each image (``reduction=none``).
    """

    def __init__(self, target: str, **params: Value) -> None:
        self._class = find_class(target)
        self._bound = bind_parameters(self._class, params)
        self._use = use_of(self._class, self._bound)
        self.needs_reference = self._use.kind == "sets"
        self.compares_sets = self._use.whole
        self.spec = MetricSpec.of(f"{PREFIX}{target}", **params)
        self.about = self._describe(target)

    def _describe(self, target: str) -> About:
        """The class's name in words, and the first sentence of its documentation."""
        lines = (inspect.getdoc(self._class) or "").partition("\n\n")[0]
        direction = _DIRECTIONS.get(self._class.higher_is_better, "none")
        distance = self._use.kind == "sets" and direction == "lower"
        return About(
            label=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", target),
            meaning=" ".join(re.sub("`_?", "", lines).split())
            or f"As torchmetrics' {target} measures it.",
            group="Distribution" if self._use.kind == "sets" else "Other measures",
            axis="distribution" if distance else None,
            direction=direction,
            is_distance=distance,
        )

    def files(self) -> list[Path]:
        """What the class reads from torch's cache and the hub's."""
        return weights_of(self._class, self._bound)

    def measure(self, data: MetricInput) -> MetricOutput:
        """A row, or one for each entry where the class gives a dict."""
        if not data.images:
            raise MetricError(f"{self.spec} needs at least 1 image and found none")
        images, real = list(data.images), None
        if self._use.kind == "sets":
            real = list(reference_of(str(self.spec), data))
        if self._use.kind == "pairs":
            images, real = self._partners(data)
        found = self._compute(data, images, real)
        rows, per_image = [], {}
        for part, said in found.items():
            name = f"{self.spec}/{part}" if part else str(self.spec)
            reading = _read(name, said, len(images))
            rows.append(self._row(name, reading, data, images, real))
            if reading.each is not None:
                value_of = dict(zip(map(id, images), reading.each, strict=True))
                per_image[name] = np.array([value_of.get(id(i), math.nan) for i in data.images])
        return MetricOutput(results=rows, per_image=per_image)

    def _partners(self, data: MetricInput) -> tuple[list[ImageRecord], list[ImageRecord]]:
        """The images that have a real counterpart, and these."""
        real = {(r.group, r.sample): r for r in data.matched or data.reference or ()}
        images = [image for image in data.images if (image.group, image.sample) in real]
        if not images:
            raise MetricError(
                f"{self.spec} compares each image with a real one of the same prompt and sample "
                "(suite 'scenes'), or on folders with the reference image of the same relative "
                f"path, and found none for {data.images[0].path}"
            )
        return images, [real[image.group, image.sample] for image in images]

    def _compute(
        self,
        data: MetricInput,
        images: Sequence[ImageRecord],
        real: Sequence[ImageRecord] | None,
    ) -> dict[str, Any]:
        """What the class says by the name of the part, "" where it says one thing."""
        name, device = self._class.__name__, data.device
        with _reproducible(data.seed), one_line(name, "failed"):
            with one_line(name, "cannot be built (are its weights there?)"):
                metric = self._class(**self._bound).to(device)
            if self._use.kind == "pairs":
                for made, target in self._batches([images, real or ()], device):
                    metric.update(made, target)
            elif self._use.kind == "sets":
                for side, is_real in ((real or (), True), (images, False)):
                    for (batch,) in self._batches([side], device):
                        metric.update(batch, real=is_real)
            else:
                for (batch,) in self._batches([images], device):
                    metric.update(batch)
            found = metric.compute()
        return dict(found) if isinstance(found, Mapping) else {"": found}

    def _batches(
        self, sides: Sequence[Sequence[ImageRecord]], device: str
    ) -> Iterator[list[Tensor]]:
        """The sides next to each other and in order, consecutive images of one size together."""
        for start in range(0, len(sides[0]), _BATCH):
            here = [side[start : start + _BATCH] for side in sides]
            rows = list(zip(*(read_pixels(side) for side in here), strict=True))
            for records, row in zip(zip(*here, strict=True), rows, strict=True):
                self._check_sizes(records, row)
            for _, same in itertools.groupby(rows, key=lambda row: row[0].shape):
                yield [self._tensor(side, device) for side in zip(*same, strict=True)]

    def _check_sizes(
        self, records: Sequence[ImageRecord], pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> None:
        if len({image.shape for image in pixels}) > 1:
            sizes = " and ".join(
                f"{record.path} has {image.shape[1]}x{image.shape[0]}"
                for record, image in zip(records, pixels, strict=True)
            )
            raise MetricError(f"{self.spec} compares images of one size, and {sizes} px")

    def _tensor(self, pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]], device: str) -> Tensor:
        import torch

        batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous().to(device)
        low, high = self._use.low, self._use.high
        return batch if low is None or high is None else batch.float() / 255 * (high - low) + low

    def _row(
        self,
        name: str,
        reading: _Reading,
        data: MetricInput,
        images: Sequence[ImageRecord],
        real: Sequence[ImageRecord] | None,
    ) -> MetricResult:
        protocol: dict[str, Any] = {
            "torchmetrics": importlib.metadata.version("torchmetrics"),
            "class": self._class.__name__,
            "parameters": dict(self.spec.params),
            "input": str(self._use),
            "alpha": ALPHAS[0],
            "interval": "none" if reading.each is None else OVER_PROMPTS,
        }
        if files := self.files():
            protocol["files_sha256"] = [file_sha256(file) for file in files]
        if real is not None:
            protocol["reference_sha256"] = set_sha256(real)
        found = Interval(value=reading.value)
        if reading.each is not None and not np.isnan(reading.each).all():
            clusters = data.clusters_of(image.group for image in images)
            found = mean_over_groups(reading.each, clusters, data.seed)
        finite = math.isfinite(found.value)
        notes = _notes(reading, len(data.images) - len(images))
        return MetricResult.of(
            found if finite else None,
            self.describe(split_metric(name)[2]),
            metric=name,
            images=len(images),
            references=None if real is None else len(real),
            protocol=protocol,
            note=("; ".join(notes) or None)
            if finite
            else f"not measured: torchmetrics gave {reading.value}",
        )


def _read(name: str, said: Any, images: int) -> _Reading:
    """A number, a mean with its deviation, or a number for each image; else ``MetricError``."""
    several = isinstance(said, (tuple, list))
    values = [np.asarray(_array(part), dtype=np.float64) for part in (said if several else [said])]
    if several and [part.size for part in values] == [1, 1]:
        return _Reading(value=float(values[0].ravel()[0]), deviation=float(values[1].ravel()[0]))
    if not several and values[0].size == 1:
        return _Reading(value=float(values[0].ravel()[0]))
    if not several and values[0].shape == (images,):
        return _Reading(value=float(values[0].mean()), each=values[0])
    shapes = " and ".join("x".join(map(str, part.shape)) or "1" for part in values)
    raise MetricError(
        f"{name} gave {shapes} values; choose parameters with which it gives one number, or one an "
        "image"
    )


def _array(said: Any) -> Any:
    return said.detach().cpu().numpy() if hasattr(said, "detach") else said


def _notes(reading: _Reading, without: int) -> list[str]:
    notes = []
    if reading.each is None:
        notes.append("no interval: torchmetrics gives one value for all images")
    if reading.deviation is not None:
        notes.append(f"sd over subsets {reading.deviation:.3g}, no error bar of the mean")
    if without:
        have = counted(without, "image has", "images have")
        notes.append(f"{have} no real counterpart and {agree(without, 'were left out')}")
    return notes


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """KID and Inception score draw from torch's global generator: seeded, then put back."""
    import torch

    from gandiff.evaluate.extractors.torch_inference import exact_inference

    with torch.random.fork_rng(devices=[]), exact_inference():
        torch.manual_seed(seed)
        yield
