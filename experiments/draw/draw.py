"""The same prompts and seeds drawn by several models, saved one by one and as a labelled grid."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from gandiff.common.devices import check_device
from gandiff.common.errors import EnvironmentFailure, RequestError
from gandiff.common.grids import write_png
from gandiff.common.outputs import check_file, claim_file
from gandiff.common.words import counted
from gandiff.experiments.draw.edits import Edit, Given, read_edit, refusals
from gandiff.experiments.draw.grid import draw_grid
from gandiff.experiments.draw.models import Models, open_models
from gandiff.experiments.draw.page import head, rows
from gandiff.experiments.draw.pictures import (
    PNG,
    Made,
    Picture,
    Place,
    animate,
    is_ours,
    notes,
    remove_old,
    save,
    slug,
    written,
)
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.runs.generate import call, check_generation
from gandiff.experiments.runs.plan import Batch, plan_batches, plan_seeds
from gandiff.experiments.runs.traces import moments
from gandiff.models.generator import Generation, Generator
from gandiff.models.shared import free_memory, shared

T = TypeVar("T")

DEFAULT = ("gan-scenes", "diffusion-scenes")
DTYPE = "float32"
_SMALL, _TOGETHER = 64, 16  # px, and how many pictures of at most that size are made at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """The grid's file, its pictures and frames, and the seconds of each model, with loading.

    The grid is written if any picture was made; what was at its place before stays otherwise.
    """

    grid: Path
    pictures: list[Picture]
    seconds: dict[str, float]
    remarks: list[str] = dataclasses.field(default_factory=list)  # on how the models were run

    @property
    def drew(self) -> bool:
        """Whether any picture was made."""
        return any(picture.image is not None for picture in self.pictures)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the pixels."""
        left_out = ("image", "estimate")
        pictures = [{k: v for k, v in vars(p).items() if k not in left_out} for p in self.pictures]
        return {**vars(self), "grid": self.grid if self.drew else None, "pictures": pictures}


def draw(
    prompts: str | Sequence[str],
    models: Models = DEFAULT,
    *,
    samples: int = 1,
    seed: int = 0,
    steps_shown: int = 0,
    init: Given = None,
    mask: Given = None,
    control: Given = None,
    strength: float | None = None,
    paint: str | None = None,
    out: Path | str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> Drawing:
    """Draw ``samples`` pictures of each prompt by each model, and lay them out in a grid.

    All models get the seeds that a run with this ``seed`` gives a file of these prompts. ``models``
    are texts as in ``open_model``, or map names to generators. ``steps_shown`` adds that many
    frames of the denoising of each prompt's first sample, in the grid and as an animated WebP. The
    grid goes to ``out``, a .png, and the pictures to the folder of that name, in place of those of
    an earlier drawing; files of others stay, unless ``overwrite``. A model that fails, or cannot do
    what is asked, leaves its cells empty. Raises ``RequestError`` before anything is loaded.

    ``init``, a file or uint8 pixels (h, w, 3), is a picture to change, as far as ``strength``
    (above 0 and at most 1) says; with ``mask``, (h, w) of 0 and 255, only where that is 255.
    ``paint`` names units of a GAN that are switched there, or is ``prompt`` for what that says.
    ``control`` is a picture to follow, such as outlines.
    """
    texts = _texts([prompts] if isinstance(prompts, str) else prompts)
    if samples < 1 or min(seed, steps_shown) < 0:
        raise RequestError("samples must be at least 1, seed and steps_shown at least 0")
    edit = read_edit(init, mask, control, strength, paints=paint is not None)
    device = check_device(device)
    generators = open_models(models, paint)
    refused = refusals(generators, edit)
    steps = {name: _steps(name, made, steps_shown) for name, made in generators.items()}
    if steps_shown and not any(steps.values()):
        raise RequestError(f"none of the models has steps to show: {', '.join(generators)}")
    grid = _grid_path(out, texts)
    suite = [edit.prompt(f"{i:05d}", text) for i, text in enumerate(texts, start=1)]
    batches = {name: _plan(name, g, suite, samples, seed, edit) for name, g in generators.items()}
    there = itertools.chain(*map(written, _folders(grid, generators).values()))
    with claim_file(grid, PNG, is_ours, overwrite=overwrite, beside=there):
        drawing = _draw_all(grid, generators, batches, steps, refused, device, quiet)
        if drawing.drew:
            _write(drawing, generators, steps, refused)
    return drawing


def _write(
    drawing: Drawing,
    generators: Mapping[str, Generator],
    steps: Mapping[str, list[float]],
    refused: Mapping[str, str],
) -> None:
    """Write the grid, and leave nothing of an earlier drawing beside it."""
    heads = [head(*one) for one in generators.items()]
    write_png(drawing.grid, draw_grid(heads, list(rows(drawing.pictures, steps, refused))))
    remove_old(drawing.grid.with_suffix(""), drawing.pictures)


def _draw_all(
    grid: Path,
    generators: Mapping[str, Generator],
    batches: Mapping[str, Sequence[Batch]],
    steps: Mapping[str, list[float]],
    refused: Mapping[str, str],
    device: str,
    quiet: bool,
) -> Drawing:
    """The pictures of every model, saved beside the grid, and what was remarked."""
    drawing = Drawing(grid=grid, pictures=[], seconds={})
    folders = _folders(grid, generators)
    jobs = {
        name: [j for batch in of_model for j in batch.jobs] for name, of_model in batches.items()
    }
    firsts = len({job.prompt.id for of_model in jobs.values() for job in of_model})
    count = sum(map(len, jobs.values())) + firsts * sum(map(len, steps.values()))
    with tqdm(total=count, unit="img", disable=quiet) as bar:
        for name, generator in _in_turn(generators, device):
            start = time.perf_counter()
            work = batches[name], steps[name], refused.get(name)
            for made in _generations(generator, *work, device, bar):
                drawing.pictures.append(save(made, folders[name]))
                bar.update()
            animate(drawing.pictures, name, folders[name])
            drawing.seconds[name] = round(time.perf_counter() - start, 3)
            own = (picture for picture in drawing.pictures if picture.model == name)
            noted = notes(own, are_files=generator.info.cost == "lookup")
            drawing.remarks.extend(f"{name}: {one}" for one in (*generator.info.remarks, *noted))
    return drawing


def _folders(grid: Path, names: Iterable[str]) -> dict[str, Path]:
    root = grid.with_suffix("")
    return {name: root / f"{i}-{slug(name)}" for i, name in enumerate(names, start=1)}


def _in_turn(generators: Mapping[str, Generator], device: str) -> Iterator[tuple[str, Generator]]:
    """The models one by one; what some share stays loaded until the last of them is done."""
    holds = [shared(one.sharing_key(device, DTYPE)) for one in generators.values()]
    for name, generator in generators.items():
        yield name, generator
        free_memory(weakref.ref(holds.pop(0)))


def _texts(prompts: Sequence[str]) -> list[str]:
    texts = [" ".join(prompt.split()) for prompt in prompts]
    if not all(texts or [""]):
        raise RequestError("the prompt is empty; write what to draw, such as 'a red star'")
    return texts


def _steps(name: str, generator: Generator, count: int) -> list[float]:
    """The moments to show, none for a model without steps; raises ``RequestError`` for too many."""
    total = generator.info.settings.get("num_inference_steps")
    if not count or type(generator).trace is Generator.trace:
        return []
    if isinstance(total, int) and count > total + 1:
        raise RequestError(
            f"{name} makes {counted(total, 'step')}, so it cannot show {count} moments"
        )
    return moments(count)


def _grid_path(out: Path | str | None, texts: Sequence[str]) -> Path:
    more = f"-and-{len(texts) - 1}-more" if len(texts) > 1 else ""
    path = Path(out or f"runs/draw/{slug(texts[0].casefold())}{more}{PNG}")
    check_file(path, PNG)
    if path.with_suffix("").is_file():
        raise RequestError(f"the pictures go to the folder {path.with_suffix('')}; it is a file")
    return path


def _plan(
    name: str, generator: Generator, suite: Sequence[Prompt], samples: int, seed: int, edit: Edit
) -> Sequence[Batch]:
    small = (generator.info.resolution or _SMALL + 1) <= _SMALL
    return plan_batches(
        generator=name,
        identity={},
        prompts=suite,
        seeds=plan_seeds(seed, (prompt.id for prompt in suite), samples),
        areas=[(len(suite), samples)],
        batch_size=min(_TOGETHER, len(suite) * samples) if small else 1,
        task=edit.task,
        strength=edit.strength,
    )


def _generations(
    generator: Generator,
    batches: Sequence[Batch],
    steps: list[float],
    problem: str | None,
    device: str,
    bar: Any,
) -> Iterator[Made]:
    """All pictures of a model, then its frames; what it raises becomes the reason of what lacks.

    A model with a ``problem`` is not loaded.
    """
    try:
        bar.set_description(f"{batches[0].generator}: loading")
        _, problem = _attempt(problem, generator.load, device, DTYPE)
        if problem is None and batches[0].size > 1:
            requests = batches[0].requests()
            tried = functools.partial(generator.try_out, requests[:2], batch_size=len(requests))
            _, problem = _attempt(None, tried)
        bar.set_description(f"{batches[0].generator}: drawing")
        for batch in batches:
            called, reason = _attempt(problem, call, generator, batch.requests())
            made = called[0] if called else [_missing(reason)] * len(batch.jobs)
            seconds = round(called[1] / batch.size, 4) if called else None
            for job, generation in zip(batch.jobs, made, strict=False):  # not the padding's
                yield Made(job, check_generation(generation, None), seconds=seconds)
        jobs = [job for batch in batches for job in batch.jobs if job.sample == 0]
        for job in jobs if steps else ():
            frames, reason = _attempt(problem, generator.trace, job.request(), steps)
            for frame in frames or ():
                place = Place(frame.step, frame.steps, frame.stage, frame.estimate)
                yield Made(job, Generation(image=frame.noisy), place)
            if not frames:
                yield Made(job, _missing(reason), Place(0))
    finally:
        generator.unload()


def _attempt(
    problem: str | None, work: Callable[..., T], *arguments: object
) -> tuple[T | None, str | None]:
    """The result, or the reason why there is none; an earlier problem is the reason already."""
    if problem is not None:
        return None, problem
    try:
        return work(*arguments), None
    except Exception as error:
        # Memory that ran out is a failure of this model: the next one may need less.
        cause = error.__cause__ if isinstance(error, EnvironmentFailure) else None
        return None, " ".join(str(cause or error).split()) or type(error).__name__


def _missing(reason: str | None) -> Generation:
    return Generation(image=None, status="failed", reason=reason or "it gave nothing")
