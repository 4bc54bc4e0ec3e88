"""What is looked at once a denoiser is trained: other solvers, steps and guidance.

    python -m gandiff.experiments.training.diffusion.inspect runs/my-diffusion --pictures 1000

measures a finished pipeline again on more pictures than its training had time for, and with DDIM
over guidance, too; it renews ``operating_points`` in its record, and its card. ``--guidance 2``
measures all steps at that guidance instead of the recipe's, and is what the card then advises.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gandiff.common.devices import check_device
from gandiff.common.errors import GandiffError, RequestError
from gandiff.common.finished_training import REAL
from gandiff.common.grids import tile
from gandiff.experiments.training.cards import with_guidance, with_settings, write_card
from gandiff.experiments.training.checks import check_monitor, open_recorded
from gandiff.experiments.training.claim import CARD
from gandiff.experiments.training.diffusion.finished import BaseRecord, find_base, open_pipeline
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe, Solver, solvers_of
from gandiff.experiments.training.diffusion.sampling import Point, Sample, sample_at
from gandiff.experiments.training.generators.sampling import chunks
from gandiff.experiments.training.monitors.base import SEED, Monitor
from gandiff.experiments.training.monitors.choice import open_monitor
from gandiff.experiments.training.recipes import changed
from gandiff.experiments.training.records import RECORD, read_record, write_json
from gandiff.experiments.training.request import TrainingRequest, chosen_device
from gandiff.models.weights import combined_sha256

GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
STEPS = (1, 2, 5, 10, 20, 50)
# What comparisons sample by, over guidance as well where there is time.
PLAIN: tuple[Solver, int] = ("ddim", 20)
_FEWEST = 8  # prompts
_SHARE = 0.05  # of the time that the training took


def operating_points(
    sample: Sample, monitor: Monitor, recipe: DiffusionRecipe, seconds: float
) -> dict[str, Any]:
    """What the monitor measures at other guidance by the recipe's solver in its steps, and in other
    steps by every solver that goes with the recipe, and of real pictures; as fields of the training
    record.

    ``seconds`` is how long was trained: on as many of the prompts as take a twentieth of that;
    ``pictures`` in each row says how many were sampled. After a trial that is too short for 8 of
    them only the recipe's own solver is looked at, on 8.
    """
    own = Point.of(recipe)
    start = time.perf_counter()
    sample(monitor.prompts[:_FEWEST], SEED, own)
    a_pass = (time.perf_counter() - start) / _FEWEST * monitor.per_prompt / own.passes
    points = points_of(recipe, solvers_of(recipe))
    prompts = round(_SHARE * seconds / (a_pass * sum(point.passes for point in points)))
    if prompts < _FEWEST:
        points = points_of(recipe, (recipe.solver,))
    return measure_points(sample, monitor.first(max(_FEWEST, prompts)), points)


def measure_points(sample: Sample, monitor: Monitor, points: Iterable[Point]) -> dict[str, Any]:
    """The rows of ``points``, and that of as many real pictures, as fields of the record."""
    rows = [_row(sample, monitor, point) for point in points]
    return {"operating_points": rows, REAL: monitor.real_against_real()}


def _row(sample: Sample, monitor: Monitor, point: Point) -> dict[str, Any]:
    return {
        "solver": point.solver,
        "num_inference_steps": point.steps,
        "guidance_scale": round(point.guidance, 4),
        **monitor.at_setting(sample(monitor.captions, SEED, point)),
    }


def points_of(
    recipe: DiffusionRecipe, solvers: Sequence[Solver], *, with_plain: bool = False
) -> list[Point]:
    """The recipe's own solver and steps over guidance, and ``solvers`` over steps; ``with_plain``
    also DDIM over guidance, where it goes with the recipe.
    """
    own = Point.of(recipe)
    over_guidance = [own]
    if with_plain and PLAIN[0] in solvers:
        over_guidance.append(Point(PLAIN[0], PLAIN[1], own.guidance))
    return sorted(
        {
            *(p._replace(guidance=scale) for p in over_guidance for scale in GUIDANCE),
            *(own._replace(solver=one, steps=n) for one in solvers for n in STEPS),
            *over_guidance,
        }
    )


def guidance_grid(
    sample: Sample, recipe: DiffusionRecipe, prompts: list[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """Rows are prompts, columns ``GUIDANCE``, with one noise."""
    own = Point.of(recipe)
    columns = [sample(prompts, SEED, own._replace(guidance=scale)) for scale in GUIDANCE]
    pictures = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
    return tile(pictures, len(GUIDANCE))


def inspect_finished(
    pipeline: str,
    pictures: int | None = None,
    *,
    guidance: float | None = None,
    data: str | None = None,
    monitor: str | None = None,
    device: str = "cpu",
) -> Path:
    """Measure a trained pipeline at all points, as its training did at its end; renew the record
    and the card beside it. Returns the record's path.

    What was measured when it was stopped is not measured again. ``pictures`` of each point are
    drawn, all that there are validation captions for if omitted. ``guidance`` is what the steps
    are measured at, the recipe's if omitted; if given the card advises it from now on.
    ``data`` is where its pictures lie, where its record says if omitted. Raises ``RequestError``
    before anything is measured if that cannot work, ``GeneratorError`` for weights that are not
    whole.
    """
    from tqdm import tqdm

    base = find_base(pipeline, "PIPELINE")
    recipe = changed(base.recipe, {"guidance": guidance})
    request = _as_trained(base, data, monitor, device)
    few = _first(open_monitor(request, open_recorded(request)), pictures)
    pipe = open_pipeline(base, request.device)

    def sample(captions: list[str], seed: int, point: Point) -> UInt8[np.ndarray, "n h w 3"]:
        return sample_at(pipe, recipe, captions, seed, point, chunks(request, len(captions)))

    points = points_of(recipe, solvers_of(recipe), with_plain=True)
    kept = _Kept(base.folder, request, len(few.captions))
    for point in tqdm(points, desc="measuring", unit="point"):
        kept.ensure(point, lambda at: _row(sample, few, at))
    path = base.folder / RECORD
    measured = {"operating_points": [kept.rows[point] for point in points]}
    record = read_record(path) | measured | {REAL: few.real_against_real()}
    write_json(path, record)
    kept.path.unlink(missing_ok=True)
    card = base.folder / CARD
    if card.is_file():
        text = with_settings(card.read_text(encoding="utf-8"), record)
        write_card(base.folder, text if guidance is None else with_guidance(text, guidance))
    return path


class _Kept:
    """Rows that are measured already, in a file beside the record until all are there."""

    def __init__(self, folder: Path, request: TrainingRequest, pictures: int) -> None:
        self.path = folder / "operating_points.json"
        # Of other weights, pictures or encoders they are other rows.
        self._asked = {"weights": combined_sha256(folder), "pictures": pictures}
        self._asked |= {"data": request.data, "monitor": request.monitor}
        before = read_record(self.path)
        rows = before["rows"] if before.get("asked") == self._asked else []
        names = ("solver", "num_inference_steps", "guidance_scale")
        self.rows = {Point(*(row[name] for name in names)): row for row in rows}

    def ensure(self, point: Point, measure: Callable[[Point], dict[str, Any]]) -> None:
        """Measure the row of a point unless it is there."""
        if point not in self.rows:
            self.rows[point] = measure(point)
            write_json(self.path, {"asked": self._asked, "rows": [*self.rows.values()]})


def _as_trained(
    base: BaseRecord, data: str | None, monitor: str | None, device: str
) -> TrainingRequest:
    """What decides how a training was measured; raises ``RequestError`` for what cannot be."""
    path = base.folder / RECORD
    record = read_record(path)
    data, seed = data or record.get("data"), record.get("seed")
    if not isinstance(data, str) or not isinstance(seed, int):
        raise RequestError(f"{path} must say by what data and seed it was trained")
    if not os.access(path, os.W_OK):
        raise RequestError(f"{path} cannot be written to; copy the pipeline and measure the copy")
    request = TrainingRequest(
        out=base.folder,
        data=data,
        resolution=base.resolution,
        seed=seed,
        monitor=monitor,
        device=chosen_device(device),
        resume=True,  # the same pictures are held out
    )
    check_device(request.device)
    check_monitor(request)
    return request


def _first(monitor: Monitor, pictures: int | None) -> Monitor:
    """The measurements on so many pictures."""
    most = len(monitor.captions)
    wanted = most if pictures is None else pictures
    fewest = min(_FEWEST * monitor.per_prompt, most)  # a small folder has fewer captions
    if not fewest <= wanted <= most:
        number = f"from {fewest} to {most:,}" if fewest < most else f"{most}"
        raise RequestError(
            f"--pictures must be {number}, for which there are validation captions, got {wanted:,}"
        )
    return monitor.first(wanted // monitor.per_prompt)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure one pipeline again."""
    parser = argparse.ArgumentParser(
        description="Measure a finished diffusion model over solvers, steps and guidance."
    )
    parser.add_argument("pipeline", help="a folder that was trained, or a shipped name")
    parser.add_argument("--pictures", type=int, help="of each point (default: as many as can be)")
    parser.add_argument(
        "--guidance",
        type=float,
        help="of the steps, and what the card advises (default: the recipe's)",
    )
    parser.add_argument("--data", help="where its pictures lie now, if not where they were")
    parser.add_argument("--monitor", help="the encoder that its training was measured with")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(argv)
    try:
        print(inspect_finished(**vars(chosen)))
    except GandiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
