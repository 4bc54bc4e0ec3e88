"""Metrics of a plain folder of images, without prompts and without a run."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.devices import check_device
from gandiff.common.errors import MetricError, RequestError
from gandiff.common.outputs import check_folder, claim_file
from gandiff.common.run_record import RECORD, read_record
from gandiff.evaluate.checks import (
    check_statistics,
    copies_remark,
    needs_features,
    reference_remark,
    set_sha256,
)
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.features.encoders import check_encoder
from gandiff.evaluate.features.images import folder_images, require_pictures, without_unreadable
from gandiff.evaluate.features.stats_file import (
    SUFFIX,
    is_our_statistics,
    read_statistics,
    write_statistics,
)
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput, ReferenceStatistics
from gandiff.evaluate.result import MetricResult, MetricSpec
from gandiff.experiments.plugins.registry import make_metric, with_encoder
from gandiff.experiments.scoring.encoding import FOLDER_METRICS, Encoding
from gandiff.experiments.scoring.measure import measure, outside_domain


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderScores:
    """Rows, one for what could not be measured as well, and what was odd."""

    results: list[MetricResult]
    warnings: list[str]
    compile_seconds: float = 0.0

    @property
    def unmeasured(self) -> list[MetricResult]:
        """Rows without a value; their note says why."""
        return [row for row in self.results if row.value is None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenStatistics:
    """A file of reference statistics and what is in it."""

    path: Path
    encoder: str
    images: int
    features: bool
    warnings: list[str]


def measure_folders(
    folder: Path, reference: Path | None, metrics: str | Sequence[str], encoding: Encoding
) -> FolderScores:
    """Measure a folder against another one, or against a file of statistics; ``metrics`` may be
    one text with commas between. One that names no encoder takes Inception, and the shipped one
    beside statistics of scene features.

    Raises ``RequestError`` for what is wrong before the first image is read. What fails later is a
    row that says so, and the other rows stay.
    """
    names = split_metrics(metrics) if isinstance(metrics, str) else list(metrics)
    if not names:
        raise RequestError('no metric is named; say what to measure, such as "fid,kid"')
    with _cache(encoding) as cache:
        stored = None
        if reference is not None and reference.suffix.lower() == SUFFIX:
            stored = read_statistics(reference)
        scenes = stored is not None and stored.encoder == "scenes"
        named = (with_encoder(name, scenes=scenes) for name in names)
        chosen = [make_metric(MetricSpec.parse(name)) for name in named]
        # Before weights are fetched for nothing.
        for pictures in (folder, reference):
            if pictures is not None and pictures.is_dir():
                require_pictures(pictures)
        for metric in chosen:
            _check(metric, reference, stored, cache)
        images, odd = _readable(folder, "images", chosen, cache, encoding)
        real: list[ImageRecord] | None = None
        if reference is not None and stored is None:
            real, more = _readable(reference, "reference images", chosen, cache, encoding)
            odd += [*more, *_in_reference(folder, reference, images, real)]
        data = MetricInput(
            images=images,
            reference=real,
            statistics=stored,
            matched=None,
            features=cache,
            device=check_device(encoding.device),
            shows_scenes=scenes or _of_scenes(folder),
        )
        odd += outside_domain(chosen, data.shows_scenes)
        measured = (row for metric in chosen for row in measure(metric, data).results)
        results = [_by_image(row) for row in measured]
        odd += cache.warnings()
        if cache.compile_seconds():
            odd.append(f"compiling the network took {cache.compile_seconds():.1f} s")
    return FolderScores(results=results, warnings=odd, compile_seconds=cache.compile_seconds())


def _of_scenes(folder: Path) -> bool:
    """Whether a folder lies in a run of scenes: what was made there should show some."""
    place = folder.resolve()
    for above in (place, *place.parents):
        if (above / RECORD).is_file():
            with contextlib.suppress(RequestError):  # of somebody else's making
                return read_record(above).suite.name == "scenes"
    return False


def _by_image(row: MetricResult) -> MetricResult:
    """A row that says of its interval what was resampled: in plain folders every picture alone."""
    interval = row.protocol.get("interval")
    if not isinstance(interval, str):
        return row
    words = interval.replace("over prompts", "over images")
    return dataclasses.replace(row, protocol={**row.protocol, "interval": words})


def score_folders(
    folder: Path | str,
    *,
    reference: Path | str | None = None,
    metrics: str | Sequence[str] = FOLDER_METRICS,
    cache: Path | str | None = None,
    **encoding: Any,
) -> list[MetricResult]:
    """Measure a folder of images against real ones, without a run.

    ``reference`` is a folder or a ``.npz`` file of statistics (``gandiff stats``, or one of
    pytorch-fid). ``cache`` and the keywords of ``encoding`` are the fields of ``Encoding``:
    ``weights``, ``device``, ``batch_size``, ``compile``, ``max_images``, ``quiet``. What is odd
    about the images is said by ``warnings.warn``; a metric that cannot be measured is a row without
    a value. Raises ``RequestError`` for a metric that is unknown or cannot be measured on folders.
    """
    chosen = Encoding(cache=Path(cache) if cache is not None else None, **encoding)
    real = Path(reference) if reference is not None else None
    scores = measure_folders(Path(folder), real, metrics, chosen)
    for warning in scores.warnings:
        warnings.warn(warning, stacklevel=2)
    return scores.results


def write_folder_statistics(
    folder: Path,
    out: Path,
    encoder: str,
    encoding: Encoding,
    *,
    keep_features: bool = True,
    overwrite: bool = False,
) -> WrittenStatistics:
    """Encode a folder and write its statistics with their protocol.

    Raises ``RequestError``, also for a file that is there and was not written by gandiff unless
    ``overwrite``.
    """
    claimed = claim_file(out, SUFFIX, is_our_statistics, overwrite=overwrite)
    with claimed, _cache(encoding) as cache:
        name = check_encoder(encoder)
        protocol = cache.protocol(name)
        images, odd = _listed(folder, [name], cache, encoding)
        write_statistics(
            out,
            name,
            cache.rows(name, images),
            protocol=protocol,
            images_sha256=set_sha256(images),
            keep_features=keep_features,
        )
        odd += [*copies_remark(images), *cache.warnings()]
    return WrittenStatistics(
        path=out, encoder=name, images=len(images), features=keep_features, warnings=odd
    )


@contextlib.contextmanager
def _cache(encoding: Encoding) -> Iterator[FeatureCache]:
    """Features lie on the disk in any case: a hundred thousand images need not fit into memory.

    What cannot be measured is a ``RequestError``.
    """
    if encoding.cache is not None:
        check_folder(encoding.cache, "--cache")
    with tempfile.TemporaryDirectory(prefix="gandiff-") as temporary:
        try:
            yield FeatureCache(
                encoding.cache or Path(temporary),
                weights=encoding.weights,
                device=check_device(encoding.device),
                batch_size=encoding.batch_size,
                compile=encoding.compile,
                progress=not encoding.quiet,
            )
        except MetricError as error:
            raise RequestError(str(error)) from error


def _check(
    metric: Metric, reference: Path | None, stored: ReferenceStatistics | None, cache: FeatureCache
) -> None:
    if metric.needs_reference and reference is None:
        raise MetricError(
            f"{metric.spec} compares with real images; give --reference FOLDER, or a file by: "
            "gandiff stats FOLDER"
        )
    if metric.needs_prompts:
        raise MetricError(f"{metric.spec} needs prompts, which a plain folder lacks; make a run")
    protocols = {encoder: cache.protocol(encoder) for encoder in metric.encoders}
    if stored is None or not metric.needs_reference:
        return
    if stored.features is None and not metric.reads_statistics:
        raise needs_features(str(metric.spec), stored.source)
    for protocol in protocols.values():
        check_statistics(str(metric.spec), stored, protocol)


def _in_reference(
    folder: Path, reference: Path, images: Sequence[ImageRecord], real: Sequence[ImageRecord]
) -> list[str]:
    """A line on a folder of which images are in the reference, too."""
    if reference.resolve() == folder.resolve():
        return [f"{folder} is compared with itself"]
    known = {image.sha256 for image in real}
    return reference_remark(sum(image.sha256 in known for image in images), len(images))


def _readable(
    folder: Path, what: str, metrics: Sequence[Metric], cache: FeatureCache, encoding: Encoding
) -> tuple[list[ImageRecord], list[str]]:
    encoders = list(dict.fromkeys(name for metric in metrics for name in metric.encoders))
    images, odd = _listed(folder, encoders, cache, encoding)
    odd += copies_remark(images, what)
    alone = next((metric for metric in metrics if metric.needs_reference), None)
    if alone is not None and len(images) < 2:
        raise MetricError(f"{alone.spec} needs at least 2 {what}, got {len(images)}")
    return images, odd


def _listed(
    folder: Path, encoders: Sequence[str], cache: FeatureCache, encoding: Encoding
) -> tuple[list[ImageRecord], list[str]]:
    """The images of a folder that can be read, encoded in one pass, and lines on the others."""
    _check_folder(folder)
    images, odd = folder_images(folder, encoding.max_images)
    readable, more = without_unreadable(images, cache.compute(encoders, images))
    return readable, [*odd, *more]


def _check_folder(folder: Path) -> None:
    """Raise ``RequestError`` for a file, and for a run folder, whose pictures are not one set."""
    if folder.is_file():
        raise RequestError(f"{folder} is a file; give a folder of images")
    if (folder / RECORD).is_file():
        raise RequestError(
            f"{folder} is a run folder; give a folder of images, such as one of those in "
            f"{folder / 'images'}"
        )


def split_metrics(text: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
