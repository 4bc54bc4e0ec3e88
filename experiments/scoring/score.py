"""From the images of a run to its tables: results, scores by image, paired differences, cost."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gandiff.common.devices import check_device
from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import write_atomically
from gandiff.common.run_record import ANCHORS, COLUMNS, DIFFERENCES, RESULTS, SCORES
from gandiff.common.words import counted
from gandiff.evaluate.checks import copies_remark, reference_remark
from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.features.cache import FeatureCache
from gandiff.evaluate.features.images import without_unreadable
from gandiff.evaluate.metric import ImageRecord, Metric, MetricInput
from gandiff.evaluate.result import MetricSpec
from gandiff.experiments.config.metrics import unused_encoders
from gandiff.experiments.plugins.registry import make_metric
from gandiff.experiments.runs.describe import write_descriptions
from gandiff.experiments.runs.freshness import UNKNOWN, outdated_images, say_outdated
from gandiff.experiments.runs.retry import without_images
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.tables import is_table, parquet, result_row
from gandiff.experiments.scoring.anchors import measure_anchors
from gandiff.experiments.scoring.categories import write_categories
from gandiff.experiments.scoring.differences import differences, sides_of, speed_differences
from gandiff.experiments.scoring.edits import edit_records, with_uncomposited
from gandiff.experiments.scoring.fingerprint import fingerprint, mark_of, say_changes
from gandiff.experiments.scoring.look import check_sizes, refuse
from gandiff.experiments.scoring.measure import (
    Scored,
    encode_at_once,
    equal_sets,
    measure_one,
    outside_domain,
)
from gandiff.experiments.scoring.references import (
    count_reference,
    folder_reference,
    matched_records,
    noting_copies,
    prompt_record,
    reference_copies,
    rendered_reference,
    shows_scenes,
)
from gandiff.experiments.timing.costs import cost_results, cost_rows, not_timed


def check_scoring(run: Run) -> None:
    """Find what would stop the scoring before the first image is made: weights that are missing,
    too few images for a metric.

    Raises ``RequestError``. Encoders are opened only if they were not used on this run before.
    """
    count_reference(run.comparison)
    before = run.record.comparison if run.record.scored else {}
    same_weights = run.comparison.encoders == before.get("encoders", {})
    if set(run.comparison.metrics) <= set(before.get("metrics", ())) and same_weights:
        return
    refuse(check_sizes(run.comparison, run.suite).problems)
    check_metrics(run, open_cache(run, quiet=True))


def check_metrics(run: Run, cache: FeatureCache) -> list[Metric]:
    """Build all metrics and open their encoders; raises ``RequestError`` if one is missing."""
    metrics = []
    for text in run.comparison.metrics:
        try:
            metric = make_metric(MetricSpec.parse(text))
            if not metric.optional:
                for encoder in metric.encoders:
                    cache.protocol(encoder)
        except MetricError as error:
            raise RequestError(f"metric {text!r}: {error}") from error
        metrics.append(metric)
    return metrics


def open_cache(run: Run, *, quiet: bool = False) -> FeatureCache:
    """The features of a run, kept in its folder; raises ``RequestError`` for weights that are
    gone.
    """
    try:
        return FeatureCache(
            run.folder / "features",
            weights=run.comparison.encoders,
            device=_device(run),
            progress=not quiet,
        )
    except MetricError as error:
        raise RequestError(f"encoders: {error}") from error


def _device(run: Run) -> str:
    """What encodes: the device that made the images; the CPU on a machine that has none such."""
    try:
        return check_device(run.device)
    except RequestError:
        return "cpu"


def score_run(run: Run, *, quiet: bool = False) -> bool:
    """Measure everything that the comparison asks for; returns False if nothing had changed since
    last time.

    A metric that cannot be computed for a generator becomes a row that says why. No generator is
    loaded: speed and memory are what the timing stage recorded.
    """
    unknown = run.batches.keys() - run.record.unmade.keys()  # why they are not made
    if waiting := sum(len(run.missing(name)) for name in unknown):
        batches = counted(waiting, "batch of images is", "batches of images are")
        run.warn(f"{batches} not made yet and not in the scores")
    for line in _sources_moved_on(run):
        run.warn(line)
    for line in [*unused_encoders(run.comparison), *filter(None, [not_timed(run)])]:
        run.warn(line)
    outside = folder_reference(run)
    parts = fingerprint(run, outside)
    mark = mark_of(parts)
    files = [run.folder / name for name in (SCORES, RESULTS, DIFFERENCES, ANCHORS)]
    if run.record.scored == mark and all(map(is_table, files)):
        for warning in run.record.scoring_warnings:
            run.warn(warning)
        return False
    if changes := say_changes(run, parts):
        run.warn(changes)
    run.note_command()
    cache = open_cache(run, quiet=quiet)
    warnings = _measure_all(run, cache, outside)
    parts = fingerprint(run, outside)
    run.update(scored=mark_of(parts), scored_from=parts, scoring_warnings=tuple(warnings))
    for warning in warnings:
        run.warn(warning)
    return True


def _sources_moved_on(run: Run) -> list[str]:
    """A line on each generator whose files are not those that its images were read from: measured
    is what the run has.
    """
    if run.looks_outside:
        return []  # what has changed was read again
    lines = []
    for name, batches in run.batches.items():
        if run.is_gone(name) or not run.reads_files(name):
            continue
        with contextlib.suppress(RequestError):  # a folder that is gone changes nothing
            found = outdated_images(batches, run.store.entries, run.generator(name), run.ledger)
            known = {key: one for key, one in found.items() if one.how != UNKNOWN}
            lines += [
                f"{line}; measured are the pictures in the run; to read them again: "
                f"gandiff generate {run.folder}"
                for line in say_outdated(name, known)
            ]
    return lines


def _measure_all(run: Run, cache: FeatureCache, outside: Sequence[ImageRecord] | None) -> list[str]:
    """Measure and write the tables; returns what was odd."""
    metrics = check_metrics(run, cache)
    resolution = _resolution(run)
    reference = outside if outside is not None else rendered_reference(run, resolution)
    matched = matched_records(run, resolution)
    images = {name: generated_records(run, name) for name in run.batches}
    compared = reference if any(metric.needs_reference for metric in metrics) else None
    sets = [*(compared or ()), *itertools.chain(*images.values())]
    unreadable = encode_at_once(cache, metrics, sets)
    equal, warnings = equal_sets(images)
    if reference:
        with contextlib.suppress(MetricError):  # where none is left, the metrics will say it
            reference, odd = without_unreadable(reference, unreadable)
            warnings += [f"reference: {line}" for line in odd]
    copies = reference_copies(run, compared or ())
    warnings += _copies(images, compared, copies)
    scenes = shows_scenes(run)
    scored, empty = [], without_images(run)

    def given(chosen: Sequence[ImageRecord]) -> MetricInput:
        return MetricInput(
            images=chosen,
            reference=reference,
            matched=_same_groups(matched, chosen),
            features=cache,
            seed=run.comparison.seed,
            device=_device(run),
            shows_scenes=scenes,
        )

    for name in run.batches:
        every, same = given(images[name]), given(equal[name])
        because = f" ({empty[name]})" if name in empty else ""
        measured = [measure_one(metric, every, same, because) for metric in metrics]
        outputs = noting_copies(run, name, metrics, measured, copies[name])
        scored.append(Scored(generator=name, images=images[name], outputs=outputs))
    _write_tables(run, scored)
    some = next((name for name in run.batches if equal[name]), None)
    anchors = [] if some is None else measure_anchors(run, metrics, given(equal[some]))
    write_atomically(run.folder / ANCHORS, parquet(anchors, COLUMNS[ANCHORS]))
    files = {*cache.files(), *itertools.chain.from_iterable(one.files() for one in metrics)}
    run.update(scoring_files=tuple(sorted(map(str, files))))
    warnings += [*outside_domain(metrics, scenes), *cache.warnings()]
    if (device := _device(run)) != run.device:
        warnings.append(f"scored on {device}: device {run.device!r} is not on this machine")
    return warnings


def generated_records(run: Run, name: str) -> list[ImageRecord]:
    """The usable images of a generator, with what was asked for."""
    prompts, edits = {prompt.id: prompt for prompt in run.suite.prompts}, edit_records(run)
    return [
        prompt_record(
            prompts[entry.prompt_id],
            path=run.folder / entry.path,
            sha256=entry.sha256,
            sample=entry.sample,
            key=entry.key,
            edit=with_uncomposited(edits.get(entry.prompt_id), entry, run.folder),
        )
        for entry in run.entries(name)
        if entry.path is not None and entry.sha256 is not None and entry.status == "ok"
    ]


def _copies(
    images: Mapping[str, Sequence[ImageRecord]],
    reference: Sequence[ImageRecord] | None,
    copies: Mapping[str, int],
) -> list[str]:
    """A line on each set of images of which some are copies of others, and on each of which some
    are copies of the reference.
    """
    sets = [*images.items(), ("the reference", reference or ())]
    lines = [f"{name}: {remark}" for name, records in sets for remark in copies_remark(records)]
    for name, copied in copies.items():
        lines += reference_remark(copied, len(images[name]), name)
    return lines


def _same_groups(
    matched: Sequence[ImageRecord] | None, images: Sequence[ImageRecord]
) -> Sequence[ImageRecord] | None:
    if matched is None:
        return None
    groups = {image.group for image in images}
    return [record for record in matched if record.group in groups]


def _resolution(run: Run) -> int:
    """The size that scenes are rendered at: that of the generated images, else 32 px."""
    sizes = [
        e.width for n in run.batches for e in run.entries(n) if e.width and e.width == e.height
    ]
    return max(set(sizes), key=sizes.count) if sizes else 32


def _write_tables(run: Run, scored: Sequence[Scored]) -> None:
    tables: dict[str, Sequence[Any]] = {
        SCORES: _scores(scored),
        RESULTS: [*_results(scored), *cost_rows(run)],
        DIFFERENCES: [
            *differences(sides_of(scored), run.comparison.seed),
            *speed_differences(cost_results(run)),
        ],
    }
    for name, rows in tables.items():
        write_atomically(run.folder / name, parquet(rows, COLUMNS[name]))
    results = (row for s in scored for output in s.outputs for row in output.results)
    write_descriptions(run.folder, results)
    clusters = {s.generator: tie_groups((i.group, i.sha256) for i in s.images) for s in scored}
    write_categories(run.folder, run.comparison.seed, clusters)


def _results(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    return [
        result_row(s.generator, row) for s in scored for out in s.outputs for row in out.results
    ]


def _scores(scored: Sequence[Scored]) -> list[tuple[Any, ...]]:
    return [
        (
            *(image.key, one.generator, image.group, image.sample, image.category),
            *(metric, float(value), float(below)),
        )
        for one in scored
        for output in one.outputs
        for metric, values in output.per_image.items()
        for image, value, below in zip(
            one.images, values, output.denominators.get(metric, np.ones(len(values))), strict=True
        )
        if not np.isnan(value)
    ]
