"""The way from noise to image for a few prompts: pictures of chosen steps, for the report."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.common.files import write_atomically
from gandiff.common.films import Moment, strip, write_animation
from gandiff.common.run_record import TRACES
from gandiff.experiments.runs.fence import fenced
from gandiff.experiments.runs.loading import in_turn, loaded
from gandiff.experiments.runs.plan import GenerationJob
from gandiff.experiments.runs.run import Run
from gandiff.models.generator import Generator, TraceFrame

_FILMS = {"strip": "strip.png", "animation": "steps.webp"}


def make_traces(run: Run, *, quiet: bool = False) -> None:
    """Trace the first prompts of every generator that has steps; what is there already is kept.

    Of the others the listing says why there is nothing to see.
    """
    from tqdm import tqdm

    listing = run.folder / TRACES
    known = json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else []
    reasons = _reasons(run)
    wanted = {(j.generator, j.prompt.id): j for j in _jobs(run) if j.generator not in reasons}
    done = {(t["generator"], t["prompt_id"]): t for t in known if _current(run, t, wanted)}
    waiting = [job for place, job in wanted.items() if place not in done]
    names = list(dict.fromkeys(job.generator for job in waiting))
    shown: dict[str, Any] = {"desc": "traces", "unit": "generator", "disable": quiet or not names}
    for name in tqdm(in_turn(run, names), total=len(names), **shown):
        with (
            fenced(run.folder, functools.partial(_not_shown, run, reasons, name)),
            loaded(run, name) as generator,
        ):
            for job in (j for j in waiting if j.generator == name):
                done[name, job.prompt.id] = _trace(run, generator, job)
    ordered = [done[place] for place in wanted if place in done]
    pictured = {trace["generator"] for trace in ordered if trace["frames"]}
    for name in {trace["generator"] for trace in ordered} - pictured:
        reasons.setdefault(name, "it gave no pictures of them")
    ordered += [{"generator": name, "reason": reason} for name, reason in reasons.items()]
    if ordered != known:
        listing.parent.mkdir(exist_ok=True)
        write_atomically(listing, json.dumps(ordered, indent=1).encode())


def _not_shown(run: Run, reasons: dict[str, str], name: str, reason: str) -> None:
    run.warn(f"{name}: its steps are not shown: {reason}")
    reasons[name] = reason


def _jobs(run: Run) -> list[GenerationJob]:
    """The first sample of the first prompts, by generator."""
    chosen = {prompt.id for prompt in run.suite.prompts[: run.comparison.report.trace_prompts]}
    return [
        job
        for batches in run.batches.values()
        for batch in batches
        for job in batch.jobs
        if job.prompt.id in chosen and job.sample == 0
    ]


def _reasons(run: Run) -> dict[str, str]:
    """Why generators have no steps to show, or why what they have is not asked for."""
    if not run.comparison.report.trace_prompts:
        return {}
    reasons = {name: _why_not(run, name) for name in run.batches}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _why_not(run: Run, name: str) -> str | None:
    facts = run.record.generators.get(name, {})
    cost = facts.get("cost", "compute")
    if cost == "lookup":
        return "its images were made elsewhere"
    if name in run.record.unmade:
        return "it made no images"
    if run.is_gone(name):
        return "it was a Python object of an earlier process"
    if cost == "request":
        return "each call may cost something"
    if "trace" in facts.get("abilities", ()):
        return None
    gan = facts.get("family") == "gan"
    return "a GAN makes an image in one step" if gan else "it gives no steps to look at"


def _current(run: Run, trace: dict[str, Any], wanted: dict[tuple[str, str], GenerationJob]) -> bool:
    """Whether a trace is of the image and the moments that are asked for, with all its files."""
    job = wanted.get((trace["generator"], trace.get("prompt_id", "")))
    if job is None or trace.get("key") != job.key:
        return False
    paths = [frame[kind] for frame in trace["frames"] for kind in ("noisy", "estimate")]
    paths += [trace.get("strip"), trace.get("animation")]
    count = run.comparison.report.trace_steps
    # Older versions wrote the steps, the last one among them; theirs are kept as they are.
    steps = trace.get("steps")
    as_asked = (
        trace.get("moments") == moments(count)
        if steps is None
        else len(steps) == min(count, max(steps) + 1)
    )
    return as_asked and all((run.folder / path).is_file() for path in paths if path)


def moments(count: int) -> list[float]:
    """``count`` fractions of the way, spread evenly from the noise to the image."""
    if count == 1:
        return [1.0]
    return [i / (count - 1) for i in range(count)]


def _trace(run: Run, generator: Generator, job: GenerationJob) -> dict[str, Any]:
    chosen = moments(run.comparison.report.trace_steps)
    frames = generator.trace(job.request(), chosen)
    folder = Path(TRACES).parent / job.generator / job.prompt.id
    (run.folder / folder).mkdir(parents=True, exist_ok=True)
    return {
        "generator": job.generator,
        "prompt_id": job.prompt.id,
        "prompt": job.prompt.text,
        "seed": job.seed,
        "key": job.key,
        "moments": chosen,
        "frames": _save(run, folder, frames),
        **_films(run, folder, frames),
    }


def _save(run: Run, folder: Path, frames: Sequence[TraceFrame]) -> list[dict[str, Any]]:
    rows = []
    for frame in frames:
        row: dict[str, Any] = {
            "stage": frame.stage,
            "step": frame.step,
            "of": frame.steps,
            "timestep": float(frame.timestep),
        }
        name = "_".join([*frame.stage.split(), f"{frame.step:03d}"])
        for kind, image in (("noisy", frame.noisy), ("estimate", frame.estimate)):
            row[kind] = None
            if image is not None:
                row[kind] = (folder / f"{name}_{kind}.png").as_posix()
                run.store.save_image(row[kind], image)
        rows.append(row)
    return rows


def _films(run: Run, folder: Path, frames: Sequence[TraceFrame]) -> dict[str, str]:
    """Write all frames as one picture and as an animation."""
    if not frames:
        return {}
    stages: dict[str, list[Moment]] = {}
    for frame in frames:
        stages.setdefault(frame.stage, []).append((frame.noisy, frame.estimate))
    names = {kind: (folder / file).as_posix() for kind, file in _FILMS.items()}
    run.store.save_image(names["strip"], strip(list(stages.values())))
    write_animation(run.folder / names["animation"], list(itertools.chain(*stages.values())))
    return names
