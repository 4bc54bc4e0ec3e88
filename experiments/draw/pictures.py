"""Pictures of a drawing and the frames on the way to them, as files."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from gandiff.common.films import Moment, is_our_animation, write_animation
from gandiff.common.grids import is_our_png, write_png
from gandiff.common.images import BETWEEN
from gandiff.common.words import agree, counted
from gandiff.experiments.runs.plan import GenerationJob
from gandiff.models.generator import Generation

PNG, FILM = ".png", "_steps.webp"


class Place(NamedTuple):
    """Where a frame stands on the way to a picture."""

    step: int | None
    steps: int | None = None
    stage: str = ""
    estimate: UInt8[np.ndarray, "h w 3"] | None = None


class Made(NamedTuple):
    """What a model made for a job: a picture, or a frame with its place."""

    job: GenerationJob
    generation: Generation
    place: Place | None = None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture, or a frame on the way to it: then ``step`` of ``steps`` were made before, in the
    part of a cascade that ``stage`` names, and ``estimate`` is what the model took the picture to
    be.

    ``image`` and ``path`` are None where it could not be made; ``reason`` says why. ``seconds`` are
    those of the call that made it, divided by the pictures of the call.
    """

    model: str
    prompt: str
    prompt_id: str
    sample: int
    seed: int
    step: int | None
    steps: int | None = None
    stage: str = ""
    path: Path | None = None
    reason: str | None = None
    seconds: float | None = None
    unread_tokens: int = 0  # of the prompt, by all of its text encoders
    image: UInt8[np.ndarray, "h w 3"] | None = dataclasses.field(repr=False)
    estimate: UInt8[np.ndarray, "h w 3"] | None = dataclasses.field(default=None, repr=False)


def save(made: Made, folder: Path) -> Picture:
    """Write what a model made to its folder."""
    job, place, image = made.job, made.place, made.generation.image
    name = f"{job.prompt.id}_{job.sample}"
    if place is not None:
        stage = f"{slug(place.stage)}_" if place.stage else ""
        name = f"steps/{job.prompt.id}_{stage}step-{place.step:03d}"
        if place.estimate is not None:
            _write(folder / f"{name}_estimate{PNG}", place.estimate)
    if image is not None:
        _write(folder / f"{name}{PNG}", image)
    return Picture(
        model=job.generator,
        prompt=job.prompt.text,
        prompt_id=job.prompt.id,
        sample=job.sample,
        seed=job.seed,
        **(place or Place(None))._asdict(),
        path=None if image is None else folder / f"{name}{PNG}",
        reason=made.generation.reason,
        seconds=made.seconds,
        unread_tokens=min(made.generation.truncated_tokens.values(), default=0),
        image=image,
    )


def _write(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, image)


def animate(pictures: Iterable[Picture], model: str, folder: Path) -> None:
    """Write the frames of each prompt as an animation beside them."""
    films: dict[str, list[Moment]] = {}
    for one in pictures:
        if one.model == model and one.step is not None and one.image is not None:
            films.setdefault(one.prompt_id, []).append((one.image, one.estimate))
    for prompt_id, film in films.items():
        write_animation(folder / f"steps/{prompt_id}{FILM}", film)


def written(folder: Path) -> list[Path]:
    """The files of a folder that are named as ours are."""
    return [*folder.rglob(f"[0-9]*_*{PNG}"), *folder.rglob(f"[0-9]*{FILM}")]


def notes(pictures: Iterable[Picture], *, are_files: bool) -> list[str]:
    """What was said of pictures that were made, such as that a setting had no effect, each once;
    of files that were read it is what is odd about them.
    """
    said = [one.reason for one in pictures if one.image is not None and one.reason]
    counts = Counter(words for reason in said for words in reason.split(BETWEEN))
    if not are_files:
        return list(counts)
    return [f"{counted(n, 'picture')} {agree(n, words)}" for words, n in counts.items()]


def remove_old(root: Path, pictures: Sequence[Picture]) -> None:
    """Remove what earlier drawings left in the models' folders below ``root``: all files of ours
    but those of these pictures.
    """
    kept = set(itertools.chain.from_iterable(map(_files, pictures)))
    for folder in root.glob("[0-9]*-*"):
        for file in written(folder):
            if file not in kept and is_ours(file):
                file.unlink()
        for one in (folder / "steps", folder):
            with contextlib.suppress(OSError):  # it is not there, or holds something
                one.rmdir()


def _files(picture: Picture) -> Iterator[Path]:
    if picture.path is not None:
        yield picture.path
        if picture.estimate is not None:
            yield picture.path.with_name(f"{picture.path.stem}_estimate{PNG}")
        if picture.step is not None:
            yield picture.path.with_name(f"{picture.prompt_id}{FILM}")


def is_ours(path: Path) -> bool:
    """Whether a picture or an animation was written here."""
    return is_our_png(path) or is_our_animation(path)


def slug(text: str) -> str:
    """A text as a part of a file's name, at most 60 characters of it."""
    return re.sub(r"[^\w.=+]+", "-", text).strip("-.")[:60] or "picture"
