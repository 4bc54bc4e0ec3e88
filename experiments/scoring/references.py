"""Real images beside the generated ones: the reference set, and real images of the very prompts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import file_sha256, read_json, write_atomically
from gandiff.common.picture_files import list_pictures, no_pictures
from gandiff.common.real_pictures import FACTS, facts_sha256, folder_of, picture_name
from gandiff.evaluate.features.images import folder_images
from gandiff.evaluate.metric import ImageRecord, Metric, MetricOutput
from gandiff.evaluate.result import REFERENCE_COPIES, MetricResult
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.runs.run import Run
from gandiff.models.tasks import takes_strength

SCENES = 2000  # reference images unless the comparison says otherwise


def count_reference(comparison: Comparison) -> int | None:
    """How many reference images there will be, none of which is read; None without a reference.

    Raises ``RequestError`` if a folder holds too few.
    """
    config = comparison.reference
    if config is None:
        return None
    if config.type != "folder":
        return config.images or SCENES
    folder = comparison.folder / str(config.folder)
    pictures = list_pictures(folder)
    if not pictures.names:
        raise RequestError(f"reference.folder: {no_pictures(pictures)}")
    if len(pictures) < 2:
        raise RequestError(
            f"reference.folder: {folder} holds 1 image file, {pictures.names[0]}; at least 2 are "
            "needed"
        )
    return min(len(pictures), config.images or len(pictures))


def folder_reference(run: Run) -> list[ImageRecord] | None:
    """The reference images that lie in a folder of their own; None where there is no such folder.

    A file is hashed again only if it may have changed. A longer set contains the shorter one. What
    is odd about the folder becomes a warning of the run.
    """
    config = run.comparison.reference
    if config is None or config.type != "folder":
        return None
    folder = run.comparison.folder / str(config.folder)
    try:
        records, remarks = folder_images(folder, config.images, run.ledger.sha256)
    except MetricError as error:
        raise RequestError(str(error)) from error
    for remark in remarks:
        run.warn(f"reference: {remark}")
    return records


def reference_copies(run: Run, reference: Sequence[ImageRecord]) -> dict[str, int]:
    """How many images of each generator are images of the reference, byte for byte: as they lie in
    the run, or as the files that they were read from.
    """
    known = {record.sha256 for record in reference}
    return {
        name: sum(
            entry.status == "ok" and not known.isdisjoint((entry.sha256, entry.source))
            for entry in run.entries(name)
        )
        for name in run.batches
    }


def noting_copies(
    run: Run,
    name: str,
    metrics: Sequence[Metric],
    outputs: Sequence[MetricOutput],
    copies: int,
) -> list[MetricOutput]:
    """The same with the number of copies of the reference beside what is measured against it; not
    of a yardstick, which may well draw what the reference shows.
    """
    if not copies or run.record.generators.get(name, {}).get("yardstick"):
        return list(outputs)
    return [
        dataclasses.replace(output, results=[_noting(row, copies) for row in output.results])
        if metric.needs_reference
        else output
        for metric, output in zip(metrics, outputs, strict=True)
    ]


def _noting(row: MetricResult, copies: int) -> MetricResult:
    return dataclasses.replace(row, protocol={**row.protocol, REFERENCE_COPIES: copies})


def rendered_reference(run: Run, resolution: int) -> list[ImageRecord] | None:
    """Rendered scenes as reference images; None unless the comparison asks for them.

    A longer set begins with the shorter one, and what lies there already is not rendered again.
    """
    config = run.comparison.reference
    if config is None or config.type != "scenes":
        return None
    return _render_reference(run, config.images or SCENES, resolution)


def _render_reference(run: Run, count: int, resolution: int) -> list[ImageRecord]:
    from gandiff.experiments.scenes.render import render
    from gandiff.experiments.scenes.suite import reference_scenes

    folder = _folder(run, f"reference/scenes-{resolution}")
    paths = [folder / f"{i:06d}.png" for i in range(count)]
    missing = [i for i, path in enumerate(paths) if not path.is_file()]
    if missing:
        scenes = reference_scenes(count)
        for start in range(0, len(missing), 256):
            chosen = missing[start : start + 256]
            for i, image in zip(chosen, render(scenes[np.array(chosen)], resolution), strict=True):
                _save(run, paths[i], image)
    return [ImageRecord(path=p, sha256=file_sha256(p), group=p.stem) for p in paths]


def matched_records(run: Run, resolution: int) -> list[ImageRecord] | None:
    """As many real images of each prompt as a generator makes; None if its facts are unknown, and
    where it asks for a change of one picture, which has one right result.
    """
    prompts = run.suite.prompts
    if takes_strength(run.comparison.task) or not all(map(_is_scene, prompts)):
        return None
    folder = _folder(run, folder_of(resolution))
    samples = run.comparison.samples_per_prompt
    rendered = _Rendered(folder)
    records = []
    for prompt in prompts:
        paths = [folder / picture_name(prompt.id, k) for k in range(samples)]
        if not rendered.fits(prompt) or not all(path.is_file() for path in paths):
            _render_matching(run, prompt, paths, resolution)
            rendered.note(prompt)
        records += [
            prompt_record(prompt, path=path, sha256=file_sha256(path), sample=k)
            for k, path in enumerate(paths)
        ]
    rendered.save()
    return records


class _Rendered:
    """Which facts of each prompt the pictures in a folder were rendered from."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FACTS
        self._known: dict[str, str] = {}
        if self._file.is_file():
            self._known = read_json(self._file)
        self._before = dict(self._known)

    def fits(self, prompt: Prompt) -> bool:
        return self._known.get(prompt.id) == facts_sha256(prompt.expected)

    def note(self, prompt: Prompt) -> None:
        self._known[prompt.id] = facts_sha256(prompt.expected)

    def save(self) -> None:
        if self._known != self._before:
            write_atomically(self._file, json.dumps(self._known, indent=0).encode())


def shows_scenes(run: Run) -> bool:
    """Whether the pictures are rendered scenes, by the reference or by what all prompts state."""
    reference = run.comparison.reference
    is_rendered = reference is not None and reference.type == "scenes"
    return is_rendered or all(map(_is_scene, run.suite.prompts))


def _is_scene(prompt: Prompt) -> bool:
    return prompt.expected is not None and "objects" in prompt.expected


def _render_matching(run: Run, prompt: Prompt, paths: Sequence[Path], resolution: int) -> None:
    from gandiff.experiments.scenes.captions import matching_scenes
    from gandiff.experiments.scenes.render import render

    assert prompt.expected is not None
    seed = int.from_bytes(hashlib.sha256(f"matched {prompt.id}".encode()).digest()[:8], "big")
    scenes = matching_scenes(prompt.expected, len(paths), seed)
    for path, image in zip(paths, render(scenes, resolution), strict=True):
        _save(run, path, image)


def _folder(run: Run, name: str) -> Path:
    folder = run.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _save(run: Run, path: Path, image: np.ndarray) -> None:
    run.store.save_image(path.relative_to(run.folder).as_posix(), image)


def prompt_record(prompt: Prompt, **image: Any) -> ImageRecord:
    """An image of a prompt; ``image`` are the other fields of an ``ImageRecord``."""
    return ImageRecord(
        group=prompt.id,
        prompt=prompt.text,
        category=prompt.category,
        expected=prompt.expected,
        **image,
    )
