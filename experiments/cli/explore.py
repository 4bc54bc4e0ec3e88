"""Pictures of a GAN's latent spaces: truncation, interpolation, style mixing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gandiff.experiments.cli.output import Json, Quiet, echo_json, examples, show_path

if TYPE_CHECKING:
    from gandiff.models.gan.editing import Grid
    from gandiff.models.gan.model import TextToImageGan

app = typer.Typer(
    help="Paint what a GAN's latent spaces hold: truncation, interpolation, style mixing.",
    epilog=examples(
        'gandiff explore truncation "a star" "a red ring on black"',
        'gandiff explore interpolate "a red star" "a blue ring"',
        'gandiff explore mix "a large red star" "a small blue ring"',
    ),
    rich_markup_mode=None,
)
Weights = Annotated[str, typer.Option(help="A shipped name, a folder, or an id on the hub.")]
Prompts = Annotated[list[str], typer.Argument(metavar="PROMPT...", help="Captions.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the noise.")]


@app.command(epilog=examples('gandiff explore truncation "a star" --psi 0,0.5,1 --out psi.png'))
def truncation(
    prompts: Prompts,
    psi: Annotated[
        str, typer.Option(help="Values from 0 to 2, a column each.")
    ] = "0,0.25,0.5,0.75,1",
    weights: Weights = "gan-scenes",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("truncation.png"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A row for each prompt, a column for each psi, from the mean picture to full variety."""
    from gandiff.experiments.errors import RequestError
    from gandiff.models.gan import editing

    psis = _numbers(psi)
    if not all(0 <= value <= 2 for value in psis):
        raise RequestError(f"--psi {psi}: needed are numbers from 0 to 2")
    _write(out, editing.truncation(_load(weights), prompts, psis, seed), quiet, as_json)


@app.command(
    epilog=examples(
        'gandiff explore interpolate "a star" --seeds 0,1',
        'gandiff explore interpolate "a red star" "a blue ring" --out prompts.png',
    )
)
def interpolate(
    prompts: Prompts,
    seeds: Annotated[
        str, typer.Option(help="From which noise to which; a row for each, between two prompts.")
    ] = "0,1",
    space: Annotated[
        Literal["z", "w", "prompts"],
        typer.Option(help="z or w between two seeds; prompts between two prompts."),
    ] = "prompts",
    steps: Annotated[int, typer.Option(min=2, max=64, help="Pictures in a row.")] = 8,
    weights: Weights = "gan-scenes",
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("interpolation.png"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pictures on the way from one noise to another, or from one prompt to another.

    One prompt alone is interpolated in z.
    """
    from gandiff.experiments.errors import RequestError
    from gandiff.models.gan import editing

    numbers = _numbers(seeds)
    chosen = [int(number) for number in numbers]
    if len(chosen) < 2:
        raise RequestError(f"--seeds {seeds}: needed are two, such as 0,1")
    if chosen != numbers or min(chosen) < 0:
        raise RequestError(f"--seeds {seeds}: needed are whole numbers from 0 up")
    if space == "prompts" and len(prompts) == 2:
        grid = editing.interpolate_prompts(_load(weights), prompts[0], prompts[1], chosen, steps)
    elif space == "prompts" and len(prompts) > 2:
        raise RequestError(f"between prompts two are needed, got {len(prompts)}")
    else:
        if len(chosen) > 2:
            raise RequestError(f"--seeds {seeds}: between two noises two are needed")
        where: editing.Space = "w" if space == "w" else "z"
        grid = editing.interpolate_noise(
            _load(weights), prompts, (chosen[0], chosen[1]), steps, where
        )
    _write(out, grid, quiet, as_json)


@app.command(epilog=examples('gandiff explore mix "a red star" "a blue ring" --crossover 2'))
def mix(
    prompts: Prompts,
    crossover: Annotated[
        int, typer.Option(min=1, help="Level, from 4 px up, where the columns take over.")
    ] = 1,
    weights: Weights = "gan-scenes",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("mixing.png"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Coarse levels by the row's prompt, fine ones by the column's; all prompts against all."""
    from gandiff.experiments.errors import RequestError
    from gandiff.models.gan import editing

    each = [(prompt, seed + i) for i, prompt in enumerate(prompts)]
    try:
        grid = editing.mix_styles(_load(weights), each, each, crossover)
    except ValueError as error:
        raise RequestError(f"--crossover {crossover}: {error}") from error
    _write(out, grid, quiet, as_json)


def _load(weights: str) -> TextToImageGan:
    from gandiff.models.gan.model import TextToImageGan

    found: TextToImageGan = TextToImageGan.from_pretrained(weights)
    return found


def _numbers(text: str) -> list[float]:
    from gandiff.experiments.errors import RequestError

    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(math.isfinite(number) for number in found):
        raise RequestError(f"{text!r} is no list of numbers such as 0,0.5,1")
    return found


def _write(out: Path, grid: Grid, quiet: bool, as_json: bool) -> None:
    from gandiff.experiments.pictures import tile, write_png

    rows, columns = grid.shape[:2]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, tile(grid.reshape(rows * columns, *grid.shape[2:]), columns))
    if as_json:
        echo_json({"out": out, "rows": rows, "columns": columns})
    elif not quiet:
        typer.echo(f"written: {show_path(out)}")
