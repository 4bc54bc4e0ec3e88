"""From noise to image: the kept moments of a denoising run."""

from __future__ import annotations

import dataclasses

from gandiff.reports.run_data import RunData
from gandiff.reports.thumbnails import data_uri, thumbnail


@dataclasses.dataclass(frozen=True)
class Moment:
    """One kept step; an address is None where there is no picture."""

    step: int
    timestep: str
    noisy: str | None  # x_t
    estimate: str | None  # what the model takes x_0 to be


@dataclasses.dataclass(frozen=True)
class Strip:
    """One image of one generator from noise to the end."""

    generator: str
    prompt: str
    seed: int | None
    moments: tuple[Moment, ...]


def denoising_strips(run: RunData) -> list[Strip]:
    """Return the strips of a run with their pictures inlined."""
    strips = []
    for trace in run.traces:
        moments = tuple(
            Moment(
                int(frame.get("step") or 0),
                _shown(frame.get("timestep")),
                _uri(run, frame.get("noisy")),
                _uri(run, frame.get("estimate")),
            )
            for frame in trace.get("frames") or ()
            if isinstance(frame, dict)
        )
        seed = trace.get("seed")
        if any(m.noisy or m.estimate for m in moments):
            strips.append(
                Strip(
                    str(trace.get("generator")),
                    str(trace.get("prompt") or ""),
                    seed if isinstance(seed, int) else None,
                    moments,
                )
            )
    return strips


def _shown(timestep: object) -> str:
    return f"{timestep:g}" if isinstance(timestep, (int, float)) else ""


def _uri(run: RunData, relative: object) -> str | None:
    file = run.file(relative)
    png = None if file is None else thumbnail(file)
    return None if png is None else data_uri(png)
