"""The draw command: a prompt by several models, side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gandiff.common.words import counted
from gandiff.experiments.cli.options import Prompts
from gandiff.experiments.cli.output import (
    Json,
    Overwrite,
    Quiet,
    echo_json,
    echo_warnings,
    examples,
    on_desktop,
    show_path,
)

if TYPE_CHECKING:
    from gandiff.experiments.draw.draw import Drawing

app = typer.Typer()
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL[,KEY=VALUE...]",
        help="May be repeated: a shipped name, a folder (of weights, a pipeline or images), "
        "the hub id of a diffusers pipeline, module:factory, or a generator type, with "
        "settings behind commas. [default: gan-scenes and diffusion-scenes]",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="The picture (default: runs/draw/<prompt>.png)."),
]
Show = Annotated[
    bool | None,
    typer.Option("--open/--no-open", help="Open it (default: in a terminal on a desktop)."),
]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="Pictures of each prompt.")]
Seed = Annotated[int, typer.Option(min=0, help="As in a run: another seed, other pictures.")]
StepsShown = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Show N steps on the way from noise to the first sample."
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to draw.")]
Init = Annotated[
    Path | None, typer.Option(metavar="PICTURE", help="Change this picture, of the model's size.")
]
Mask = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE",
        help="Change --init only where this grey picture of its size is 255; the rest of it is 0.",
    ),
]
Control = Annotated[
    Path | None,
    typer.Option(metavar="PICTURE", help="Follow this one: outlines or depth, as a ControlNet's."),
]
Strength = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="How far to go from --init, above 0 and at most 1. [default: the model's own]",
    ),
]
Paint = Annotated[
    str | None,
    typer.Option(
        metavar="UNITS",
        help="Paint in --init where --mask is 255: units of a GAN, such as 'red star' or 16:5, or "
        "prompt for what the prompt says.",
    ),
]


@app.command(
    epilog=examples(
        'gandiff draw "a red star"',
        'gandiff draw "a red star" "a blue ring" --samples 3 --steps-shown 8',
        'gandiff draw "a star" --model gan-scenes --model gan-scenes,truncation_psi=0.5',
        'gandiff draw "a star" --model runs/my-gan --model my_models.py:build --out star.png',
        'gandiff draw "a blue star" --init star.png --mask where.png --strength 0.8',
    )
)
def draw(
    prompts: Prompts,
    models: Models = None,
    samples: Samples = 1,
    seed: Seed = 0,
    steps_shown: StepsShown = 0,
    init: Init = None,
    mask: Mask = None,
    control: Control = None,
    strength: Strength = None,
    paint: Paint = None,
    device: Device = "auto",
    out: Out = None,
    overwrite: Overwrite = False,
    show: Show = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Draw a prompt by a GAN and a diffusion model, side by side.

    Every model gets the same prompts and seeds. The pictures come as one labelled grid, whose path
    is printed, and each of them in a folder beside it. --init, --mask and --control make edits; a
    model that cannot do them leaves its column empty. The exit code is 1 if a picture is missing.
    """
    from gandiff.experiments.draw import draw as work

    drawing = work.draw(
        prompts,
        models or work.DEFAULT,
        samples=samples,
        seed=seed,
        steps_shown=steps_shown,
        init=init,
        mask=mask,
        control=control,
        strength=strength,
        paint=paint,
        out=out,
        overwrite=overwrite,
        device=device,
        quiet=quiet,
    )
    _warn(drawing)
    if as_json:
        echo_json(drawing)
    elif drawing.drew:
        typer.echo(show_path(drawing.grid))
    if drawing.drew and _opens(show) and typer.launch(str(drawing.grid)):
        echo_warnings(["there is no program to open the picture with"])
    raise typer.Exit(1 if any(p.image is None for p in drawing.pictures) else 0)


def _opens(show: bool | None) -> bool:
    return on_desktop() if show is None else show


def _warn(drawing: Drawing) -> None:
    """Say on stderr how models were run, what is missing, whose prompt was not read to its end."""
    echo_warnings(drawing.remarks)
    missing = Counter((p.model, p.reason) for p in drawing.pictures if p.image is None)
    for (model, reason), count in missing.items():
        several = f" ({count} pictures)" if count > 1 else ""
        echo_warnings([f"{model} failed{several}: {reason}"])
    unread = {(p.model, p.prompt): p.unread_tokens for p in drawing.pictures if p.unread_tokens}
    for (model, prompt), tokens in unread.items():
        echo_warnings([f"{model} did not read the last {counted(tokens, 'token')} of {prompt!r}"])
