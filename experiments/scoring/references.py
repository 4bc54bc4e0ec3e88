"""Real images beside the generated ones: the reference set, and real images of the very prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandiff.common.errors import MetricError, RequestError
from gandiff.common.files import file_sha256
from gandiff.common.picture_files import list_pictures, no_pictures
from gandiff.evaluate.features.images import folder_images
from gandiff.evaluate.metric import ImageRecord
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.runs.run import Run

SCENES = 2000  # reference images unless the comparison says otherwise
_FOLDER = "reference"


def check_reference(run: Run) -> None:
    """Raise ``RequestError`` if a folder of reference images holds too few; none is read."""
    config = run.comparison.reference
    if config is None or config.type != "folder":
        return
    folder = run.comparison.folder / str(config.folder)
    pictures = list_pictures(folder)
    if not pictures.names:
        raise RequestError(f"reference.folder: {no_pictures(pictures)}")
    if len(pictures) < 2:
        raise RequestError(
            f"reference.folder: {folder} holds 1 image file, {pictures.names[0]}; at least 2 are "
            "needed"
        )


def reference_records(run: Run, resolution: int) -> list[ImageRecord] | None:
    """The reference images of a run, rendered first if they are scenes; None if it has none.

    A longer set contains the shorter one, and what lies there already is not rendered again.
    What is odd about a folder becomes a warning of the run.
    """
    config = run.comparison.reference
    if config is None:
        return None
    if config.type == "folder":
        folder = run.comparison.folder / str(config.folder)
        try:
            records, remarks = folder_images(folder, config.images)
        except MetricError as error:
            raise RequestError(str(error)) from error
        for remark in remarks:
            run.warn(f"reference: {remark}")
        return records
    return _render_reference(run, config.images or SCENES, resolution)


def _render_reference(run: Run, count: int, resolution: int) -> list[ImageRecord]:
    from gandiff.experiments.scenes.render import render
    from gandiff.experiments.scenes.suite import reference_scenes

    folder = _folder(run, f"scenes-{resolution}")
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
    """As many real images of each prompt as a generator makes; None if its facts are unknown."""
    prompts = run.suite.prompts
    if not all(_is_scene(prompt) for prompt in prompts):
        return None
    folder = _folder(run, f"matched-{resolution}")
    samples = run.comparison.samples_per_prompt
    records = []
    for prompt in prompts:
        paths = [folder / f"{prompt.id}_{k}.png" for k in range(samples)]
        if not all(path.is_file() for path in paths):
            _render_matching(run, prompt, paths, resolution)
        records += [
            prompt_record(prompt, path=path, sha256=file_sha256(path), sample=k)
            for k, path in enumerate(paths)
        ]
    return records


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
    folder = run.folder / _FOLDER / name
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
