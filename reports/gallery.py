"""The same prompts and seeds side by side: which prompts are shown, their pictures and scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from gandiff.evaluate.result import MetricResult
from gandiff.reports.origins import takes_seeds
from gandiff.reports.real_pictures import RealPictures
from gandiff.reports.run_data import ImageLine, RunData
from gandiff.reports.thumbnails import data_uri, thumbnail
from gandiff.reports.values import Scale, scale_of_differences, visible
from gandiff.reports.wrong_facts import WrongFacts

DEFAULT_PROMPTS = 64
MOST_SAMPLES = 8  # pictures of a prompt side by side
BUDGET = 9_000_000  # bytes of PNG; base64 makes them a third longer


@dataclasses.dataclass(frozen=True)
class Picture:
    """One place of the gallery; without an image ``uri`` is None and ``reason`` says why. ``seed``
    is None where it means nothing, of images that were made elsewhere.

    ``wrong`` are the facts that the prompt states and the image does not show.
    """

    sample: int
    seed: int | None = None
    uri: str | None = None
    reason: str = ""
    path: str = ""
    wrong: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class GalleryPrompt:
    """One prompt with a row of pictures for each generator, and real ones where the run has any."""

    id: str
    text: str
    category: str
    order: int
    seeds: tuple[int | None, ...]
    rows: Mapping[str, tuple[Picture, ...]]
    real: tuple[Picture, ...] = ()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The prompts shown, out of ``total``, and what the page needs to sort and filter them.

    ``facts`` is the metric that says which facts are wrong, empty where there is none.
    """

    prompts: tuple[GalleryPrompt, ...]
    total: int
    generators: int
    samples: int
    samples_total: int
    metrics: tuple[str, ...]
    facts: str
    data: str  # JSON, safe inside a script element


def build_gallery(run: RunData, preferred: str | None = None) -> Gallery:
    """Choose prompts from all categories alike and inline their pictures, up to the byte budget."""
    # One at least: where no image was made at all, that is what stands in its place.
    samples_total = 1 + max((i.sample for i in run.images), default=0)
    shelf = _Shelf.of(run, min(samples_total, MOST_SAMPLES), WrongFacts.of(run, preferred))
    shown: list[GalleryPrompt] = []
    spent = 0
    for order, prompt in chosen_prompts(run):
        entry, size = shelf.entry(prompt, order)
        if shown and spent + size > BUDGET:
            break
        spent += size
        shown.append(entry)
    shown.sort(key=lambda entry: entry.order)
    metrics = _metrics(run, preferred)
    return Gallery(
        tuple(shown),
        len(run.prompts),
        len(run.generators),
        shelf.samples,
        samples_total,
        metrics,
        run.about(shelf.wrong.metric).label if shelf.wrong.metric else "",
        _data(run, shown, metrics, shelf),
    )


def chosen_prompts(run: RunData) -> list[tuple[int, dict[str, Any]]]:
    """The prompts that a report shows, each with its place in the suite, the categories in turn."""
    report = run.record.comparison.get("report") or {}
    most = report.get("gallery_prompts")
    most = DEFAULT_PROMPTS if most is None else max(0, int(most))
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for order, prompt in enumerate(run.prompts):
        groups.setdefault(str(prompt.get("category") or ""), []).append((order, prompt))
    rounds = zip_longest(*groups.values())
    return [item for turn in rounds for item in turn if item is not None][:most]


@dataclasses.dataclass(frozen=True)
class _Shelf:
    """The pictures of a run by their places, and what is known of them."""

    run: RunData
    samples: int
    places: Mapping[tuple[str, str, int], ImageLine]
    wrong: WrongFacts
    real: RealPictures

    @classmethod
    def of(cls, run: RunData, samples: int, wrong: WrongFacts) -> _Shelf:
        places = {(i.generator, i.prompt_id, i.sample): i for i in run.images}
        return cls(run, samples, places, wrong, RealPictures.of(run))

    def entry(self, prompt: Mapping[str, Any], order: int) -> tuple[GalleryPrompt, int]:
        """A prompt with its pictures, and their bytes."""
        identity, size = str(prompt.get("id")), 0
        rows: dict[str, tuple[Picture, ...]] = {}
        seeds: list[int | None] = [None] * self.samples
        for name in self.run.generators:
            row = []
            for sample in range(self.samples):
                where = (name, identity, sample)
                wrong = self.wrong.by_image.get(where, ())
                picture, length = picture_of(self.run, self.places.get(where), sample, wrong)
                size += length
                row.append(picture)
                seeds[sample] = picture.seed if seeds[sample] is None else seeds[sample]
            rows[name] = tuple(row)
        real, length = self._real(prompt)
        text, category = str(prompt.get("text") or ""), str(prompt.get("category") or "")
        entry = GalleryPrompt(identity, text, category, order, tuple(seeds), rows, real)
        return entry, size + length

    def _real(self, prompt: Mapping[str, Any]) -> tuple[tuple[Picture, ...], int]:
        row, size = [], 0
        for sample, path in enumerate(self.real.paths(prompt, self.samples)):
            file = self.run.file(path)
            png = None if file is None else thumbnail(file)
            if png is not None:
                row.append(Picture(sample, uri=data_uri(png), path=path))
                size += len(png)
        return tuple(row), size


def picture_of(
    run: RunData, place: ImageLine | None, sample: int, wrong: tuple[str, ...] = ()
) -> tuple[Picture, int]:
    """What became of an image, with the picture inlined where there is one, and its bytes."""
    if place is None:
        return Picture(sample, reason="not made"), 0
    facts = run.generators.get(place.generator)
    seed = place.seed if facts is None or takes_seeds(facts) else None
    path = str(place.path or "")
    if not place.is_ok:
        reason = f"{place.status}: {place.reason or 'no reason given'}"
        return Picture(sample, seed, reason=reason), 0
    file = run.file(path)
    png = None if file is None else thumbnail(file)
    if png is None:
        return Picture(sample, seed, reason="the file is missing or unreadable", path=path), 0
    return Picture(sample, seed, data_uri(png), path=path, wrong=wrong), len(png)


def _metrics(run: RunData, preferred: str | None) -> tuple[str, ...]:
    present = list(dict.fromkeys(score.metric for score in run.scores))
    return tuple(sorted(present, key=lambda metric: metric != preferred))


def _data(
    run: RunData, shown: Sequence[GalleryPrompt], metrics: Sequence[str], shelf: _Shelf
) -> str:
    ids = {entry.id: k for k, entry in enumerate(shown)}
    names = {name: k for k, name in enumerate(run.generators)}
    # prompt -> generator -> sample -> metric; null where an image has no such score
    scores: list[list[list[list[float | None]]]] = [
        [[[None] * len(metrics) for _ in range(shelf.samples)] for _ in names] for _ in shown
    ]
    place = {metric: k for k, metric in enumerate(metrics)}
    for score in run.scores:
        k, g = ids.get(score.prompt_id), names.get(score.generator)
        if k is not None and g is not None and 0 <= score.sample < shelf.samples:
            scores[k][g][score.sample][place[score.metric]] = round(score.value, 6)
    return script_json(
        {
            "generators": [visible(name) for name in names],
            "metrics": list(_described(run, metrics, shelf.wrong.metric)),
            "scores": scores,
        }
    )


def _described(run: RunData, metrics: Sequence[str], with_facts: str) -> Iterator[dict[str, Any]]:
    results = {row.result.metric: row.result for row in run.results}
    values: dict[str, set[float]] = {}
    for score in run.scores:
        values.setdefault(score.metric, set()).add(score.value)
    for metric in metrics:
        result = results.get(metric)
        yield {
            "name": visible(metric),
            "label": run.about(metric).label,
            "lower": result is not None and result.direction == "lower",
            "target": result.target
            if result is not None and result.direction == "target"
            else None,
            "yesno": values[metric] <= {0.0, 1.0},
            "facts": metric == with_facts,
            "ahead": _written(result, max(values[metric]) - min(values[metric])),
        }


def _written(result: MetricResult | None, largest: float) -> dict[str, Any]:
    """How differences up to ``largest`` are written, as in tables and verdict."""
    scale = Scale(1.0, 2, "") if result is None else scale_of_differences(result, largest)
    return {"factor": scale.factor, "decimals": max(0, scale.decimals), "unit": scale.unit}


def script_json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
