"""From noise to image: the kept moments of a denoising run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from gandiff.reports.run_data import RunData
from gandiff.reports.thumbnails import data_uri, thumbnail

_HEAVY = 400_000  # bytes


@dataclasses.dataclass(frozen=True)
class Moment:
    """One kept step of so many; an address is None where there is no picture."""

    step: int
    of: int | None
    timestep: str
    noisy: str | None  # x_t
    estimate: str | None  # what the model takes x_0 to be


@dataclasses.dataclass(frozen=True)
class Strip:
    """One image of one generator from noise to the end, or a stage of a cascade on that way.

    ``animation`` is the address of the whole way as an animated WebP.
    """

    generator: str
    prompt: str
    seed: int | None
    stage: str
    moments: tuple[Moment, ...]
    animation: str | None


def denoising_strips(run: RunData) -> list[Strip]:
    """Return the strips of a run with their pictures inlined."""
    return [strip for trace in run.traces for strip in _strips(run, trace)]


def without_steps(run: RunData) -> list[tuple[str, str]]:
    """The generators of which no steps are shown, and why."""
    return [(str(t.get("generator")), str(t["reason"])) for t in run.traces if t.get("reason")]


def _strips(run: RunData, trace: Mapping[str, Any]) -> Iterator[Strip]:
    stages: dict[str, list[Moment]] = {}
    for frame in trace.get("frames") or ():
        if isinstance(frame, dict):
            total = frame.get("of")
            moment = Moment(
                int(frame.get("step") or 0),
                total if isinstance(total, int) else None,
                _shown(frame.get("timestep")),
                _uri(run, frame.get("noisy")),
                _uri(run, frame.get("estimate")),
            )
            stages.setdefault(str(frame.get("stage") or ""), []).append(moment)
    seed, animation = trace.get("seed"), _animation(run, trace.get("animation"))
    for stage, moments in stages.items():
        if any(m.noisy or m.estimate for m in moments):
            yield Strip(
                generator=str(trace.get("generator")),
                prompt=str(trace.get("prompt") or ""),
                seed=seed if isinstance(seed, int) else None,
                stage=stage,
                moments=tuple(moments),
                animation=animation,
            )
            animation = None  # with the first stage


def _animation(run: RunData, relative: object) -> str | None:
    """The address of an animation, unless it would weigh on the page."""
    file = run.file(relative)
    if file is None or file.stat().st_size > _HEAVY:
        return None
    return data_uri(file.read_bytes(), "webp")


def _shown(timestep: object) -> str:
    return f"{timestep:g}" if isinstance(timestep, (int, float)) else ""


def _uri(run: RunData, relative: object) -> str | None:
    file = run.file(relative)
    png = None if file is None else thumbnail(file)
    return None if png is None else data_uri(png)
