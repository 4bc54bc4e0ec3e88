"""The way from noise to image for a few prompts: pictures of chosen steps, for the report."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gandiff.common.files import write_atomically
from gandiff.common.run_record import TRACES
from gandiff.experiments.runs.fence import fenced
from gandiff.experiments.runs.loading import in_turn, loaded
from gandiff.experiments.runs.plan import GenerationJob
from gandiff.experiments.runs.run import Run
from gandiff.models.generator import Generator, TraceFrame


def make_traces(run: Run, *, quiet: bool = False) -> None:
    """Trace the first prompts of every generator that has steps; what is there already is kept."""
    from tqdm import tqdm

    listing = run.folder / TRACES
    known = json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else []
    wanted = {(job.generator, job.prompt.id): job for job in _jobs(run)}
    done = {(t["generator"], t["prompt_id"]): t for t in known if _current(run, t, wanted)}
    waiting = [job for place, job in wanted.items() if place not in done]
    names = list(dict.fromkeys(job.generator for job in waiting))
    shown: dict[str, Any] = {"desc": "traces", "unit": "generator", "disable": quiet or not names}
    for name in tqdm(in_turn(run, names), total=len(names), **shown):
        with (
            fenced(run.folder, functools.partial(_not_shown, run, name)),
            loaded(run, name) as generator,
        ):
            for job in (j for j in waiting if j.generator == name):
                done[name, job.prompt.id] = _trace(run, generator, job)
    if names or len(done) != len(known):
        listing.parent.mkdir(exist_ok=True)
        ordered = [done[place] for place in wanted if place in done]
        write_atomically(listing, json.dumps(ordered, indent=1).encode())


def _not_shown(run: Run, name: str, reason: str) -> None:
    run.warn(f"{name}: its steps are not shown: {reason}")


def _jobs(run: Run) -> list[GenerationJob]:
    """The first sample of the first prompts, for generators that have steps to show.

    None where a picture costs more than time, nor where a generator could not be loaded.
    """
    count = run.comparison.report.trace_prompts
    chosen = {prompt.id for prompt in run.suite.prompts[:count]}
    return [
        job
        for name, batches in run.batches.items()
        if _is_traced(run, name)
        for batch in batches
        for job in batch.jobs
        if job.prompt.id in chosen and job.sample == 0
    ]


def _is_traced(run: Run, name: str) -> bool:
    facts = run.record.generators.get(name, {})
    able = "trace" in facts.get("abilities", ()) and facts.get("cost", "compute") == "compute"
    return able and not run.is_gone(name) and name not in run.record.unmade


def _current(run: Run, trace: dict[str, Any], wanted: dict[tuple[str, str], GenerationJob]) -> bool:
    """Whether a trace is of the image and the steps that are asked for, and all of it is there."""
    job = wanted.get((trace["generator"], trace["prompt_id"]))
    if job is None or trace.get("key") != job.key:
        return False
    paths = [frame[kind] for frame in trace["frames"] for kind in ("noisy", "estimate")]
    return trace.get("steps") == _steps(run, job.generator) and all(
        (run.folder / path).is_file() for path in paths if path
    )


def _steps(run: Run, name: str) -> list[int]:
    total = int(run.record.generators[name]["settings"].get("num_inference_steps") or 1)
    return spread_steps(total, min(run.comparison.report.trace_steps, total))


def spread_steps(total: int, count: int) -> list[int]:
    """``count`` of ``total`` steps, spread evenly from the first to the last."""
    if count == 1:
        return [total - 1]
    return sorted({round(i * (total - 1) / (count - 1)) for i in range(count)})


def _trace(run: Run, generator: Generator, job: GenerationJob) -> dict[str, Any]:
    steps = _steps(run, job.generator)
    frames = generator.trace(job.request(), steps)
    folder = Path(TRACES).parent / job.generator / job.prompt.id
    (run.folder / folder).mkdir(parents=True, exist_ok=True)
    return {
        "generator": job.generator,
        "prompt_id": job.prompt.id,
        "prompt": job.prompt.text,
        "seed": job.seed,
        "key": job.key,
        "steps": steps,
        "frames": _save(run, folder, frames),
    }


def _save(run: Run, folder: Path, frames: Sequence[TraceFrame]) -> list[dict[str, Any]]:
    rows = []
    for frame in frames:
        row: dict[str, Any] = {"step": frame.step, "timestep": float(frame.timestep)}
        for kind, image in (("noisy", frame.noisy), ("estimate", frame.estimate)):
            row[kind] = None
            if image is not None:
                row[kind] = (folder / f"{frame.step:03d}_{kind}.png").as_posix()
                run.store.save_image(row[kind], image)
        rows.append(row)
    return rows
