"""Pictures of a GAN's latent spaces: truncation, interpolation, style mixing.

What its units stand for is in ``explore_units``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gandiff.common.errors import RequestError
from gandiff.experiments.cli.options import Prompts
from gandiff.experiments.cli.output import (
    Json,
    Overwrite,
    Quiet,
    echo_json,
    echo_warnings,
    examples,
    show_path,
)

if TYPE_CHECKING:
    from gandiff.models.gan.editing import Grid
    from gandiff.models.gan.model import TextToImageGan

app = typer.Typer(
    name="explore",
    help="See what a GAN makes of noise and text: truncation, interpolation, style mixing; and "
    "what its units stand for.\n\n"
    "z is the noise that a seed draws. A small network maps it and joins it with the text: that "
    "is w, the style of the picture.",
    epilog=examples(
        'gandiff explore truncation "a star" "a red ring on black"',
        'gandiff explore interpolate "a red star" "a blue ring"',
        'gandiff explore mix "a large red star" "a small blue ring"',
        'gandiff explore paint "a red star" --units "blue ring" --region 18,18,31,31',
    ),
    rich_markup_mode=None,
)
Weights = Annotated[str, typer.Option(help="A shipped name, a folder, or an id on the hub.")]


@app.command(epilog=examples('gandiff explore truncation "a star" --psi 0,0.5,1 --out psi.png'))
def truncation(
    prompts: Prompts,
    psi: Annotated[
        str,
        typer.Option(
            help="Truncation, from 0 to 2, a column each: 1 is none; below 1 trades variety for "
            "typical pictures; at 0 every seed gives the same one."
        ),
    ] = "0,0.25,0.5,0.75,1",
    weights: Weights = "gan-scenes",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise, the same for all.")] = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("truncation.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Truncation: less variety for more typical pictures.

    A row for each prompt, a column for each psi, by which the distance of the mapped noise from its
    mean is multiplied. The text stays as it is.
    """
    from gandiff.models.gan import editing

    psis = _numbers(psi)
    if not all(0 <= value <= 2 for value in psis):
        raise RequestError(f"--psi {psi}: must be numbers from 0 to 2")
    with claimed(out, overwrite):
        grid = editing.truncation(load_gan(weights), prompts, psis, seed)
        write_grid(out, grid, quiet, as_json)


@app.command(
    epilog=examples(
        'gandiff explore interpolate "a star" --seeds 0,1',
        'gandiff explore interpolate "a red star" "a blue ring" --out prompts.png',
    )
)
def interpolate(
    prompts: Prompts,
    seeds: Annotated[
        str,
        typer.Option(
            help="Seeds of the noise. Between two prompts: a row for each; else two, from the "
            "first to the second."
        ),
    ] = "0,1",
    space: Annotated[
        Literal["z", "w", "prompts"],
        typer.Option(
            help="What changes along a row. prompts: the text, from the first prompt to the "
            "second, with the same noise. z: the noise; w: the noise, mapped and joined with the "
            "text; both from one seed to another, with a row for each prompt."
        ),
    ] = "prompts",
    steps: Annotated[int, typer.Option(min=2, max=64, help="Pictures in a row.")] = 8,
    weights: Weights = "gan-scenes",
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("interpolation.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pictures on the way between two prompts or two noises.

    With one prompt alone the noise changes, in z unless --space is w.
    """
    from gandiff.models.gan import editing

    numbers = _numbers(seeds)
    chosen = [int(number) for number in numbers]
    if chosen != numbers or min(chosen) < 0:
        raise RequestError(f"--seeds {seeds}: must be whole numbers from 0 up")
    between = space == "prompts" and len(prompts) > 1
    if between and len(prompts) > 2:
        raise RequestError(f"interpolating between prompts takes two, got {len(prompts)}")
    if not between and len(chosen) != 2:
        raise RequestError(f"--seeds {seeds}: must be two, such as 0,1, to interpolate the noise")
    with claimed(out, overwrite):
        gan = load_gan(weights)
        if between:
            grid = editing.interpolate_prompts(gan, prompts[0], prompts[1], chosen, steps)
        else:
            where: editing.Space = "w" if space == "w" else "z"
            grid = editing.interpolate_noise(gan, prompts, (chosen[0], chosen[1]), steps, where)
        write_grid(out, grid, quiet, as_json)


@app.command(epilog=examples('gandiff explore mix "a red star" "a blue ring" --crossover 2'))
def mix(
    prompts: Prompts,
    crossover: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many levels the row decides, the coarsest first: 1 is 4 px alone, 2 is 4 and "
            "8 px, and so on. The column decides the finer ones.",
        ),
    ] = 1,
    weights: Weights = "gan-scenes",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seed of the first prompt's noise; the next one has the next."),
    ] = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("mixing.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Style mixing: coarse layers from one w, fine ones from another.

    Every prompt has a row, whose w decides what is coarse, and a column, whose w decides what
    is fine.
    """
    from gandiff.models.gan import editing

    each = [(prompt, seed + i) for i, prompt in enumerate(prompts)]
    try:
        with claimed(out, overwrite):
            grid = editing.mix_styles(load_gan(weights), each, each, crossover)
            write_grid(out, grid, quiet, as_json)
    except ValueError as error:
        raise RequestError(f"--crossover {crossover}: {error}") from error


def load_gan(weights: str) -> TextToImageGan:
    """The GAN of a shipped name, a folder or an id on the hub."""
    from gandiff.models.gan.model import TextToImageGan

    gan: TextToImageGan = TextToImageGan.from_pretrained(weights)
    return gan


@contextmanager
def claimed(out: Path, overwrite: bool) -> Iterator[None]:
    """Keep the file for this process; what Python would be warned of is a line on stderr."""
    from gandiff.common.grids import is_our_png
    from gandiff.common.outputs import claim_file

    with claim_file(out, ".png", is_our_png, overwrite=overwrite), warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: echo_warnings([message])
        yield


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(math.isfinite(number) for number in numbers):
        raise RequestError(f"{text!r} is not a list of numbers such as 0,0.5,1")
    return numbers


def write_grid(out: Path, grid: Grid, quiet: bool, as_json: bool) -> None:
    """Write a grid of pictures and say so."""
    from gandiff.common.grids import tile, write_png

    rows, columns = grid.shape[:2]
    write_png(out, tile(grid.reshape(rows * columns, *grid.shape[2:]), columns))
    if as_json:
        echo_json({"out": out, "rows": rows, "columns": columns})
    elif not quiet:
        typer.echo(f"written: {show_path(out)}")
