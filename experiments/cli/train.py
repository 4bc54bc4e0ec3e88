"""The train commands; every network that ships with the project was made by one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from gandiff.experiments.cli.invocation import leaves_checkpoints, this_command
from gandiff.experiments.cli.options import Given, takes
from gandiff.experiments.cli.output import Json, echo_json, examples, show_path
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.gan.recipe import (
    ENDS,
    RECIPES,
    GanRecipe,
    read_numbers,
    recipe_of,
)
from gandiff.experiments.training.request import TrainingRequest, chosen_device

app = typer.Typer(
    name="train",
    help="Train a generator, the judges or the text encoder.",
    epilog=examples(
        "gandiff train gan --minutes 30",
        "gandiff train diffusion --data my-captioned-images --resolution 32 --out runs/mine",
        "gandiff train judges --help",
    ),
    rich_markup_mode=None,
)

_HELP = {
    "diffusion": "Train the latent diffusion model: its VAE first, then the U-Net.",
    "judges": "Train the judges of scenes: two classifiers and a scene CLIP.",
    "text": "Train the text encoder that conditions the generators.",
}

_PARTS = {"judges": ("scene-classifier-a", "scene-classifier-b", "scene-clip")}  # folders
_CHECKPOINTS = {  # below --out; where one is, --resume can continue
    "gan": ("checkpoint.pt",),
    "text": ("checkpoint.pt",),
    "diffusion": ("checkpoint.pt", "state/vae/checkpoint.pt", "state/unet/checkpoint.pt"),
    "judges": tuple(f"{part}/checkpoint.pt" for part in _PARTS["judges"]),
}


def _epilog(kind: str, *more: str) -> str:
    return examples(
        f"gandiff train {kind} --minutes 30",
        f"gandiff train {kind} --minutes 0.2 --out runs/try-{kind}",
        f"gandiff train {kind} --minutes 60 --resume",
        *more,
    )


@contextmanager
def _claimed(
    kind: str, given: Given, parts: Iterable[str | Path] = ()
) -> Iterator[TrainingRequest]:
    """The request, once the output folder is ours; asked first, since torch takes seconds."""
    out = given["out"] = given["out"] or Path("runs", f"train-{kind}")
    with claim(out, [out / part for part in parts], overwrite=given["overwrite"]):
        yield _request(kind, given)


def _request(kind: str, given: Given) -> TrainingRequest:
    given["device"] = chosen_device(given["device"])
    leaves_checkpoints([given["out"] / name for name in _CHECKPOINTS[kind]])
    return TrainingRequest(**given, command=this_command())


def _refuse_unfinished(kind: str, request: TrainingRequest) -> None:
    from gandiff.experiments.training.checks import refuse_unfinished

    if request.overwrite:
        return
    if kind != "judges":
        refuse_unfinished(request, *_CHECKPOINTS[kind])
        return
    for part in _PARTS[kind]:  # judges have a record each
        own = dataclasses.replace(request, out=request.out / part)
        refuse_unfinished(own, "checkpoint.pt")


def _train(kind: str, request: TrainingRequest, as_json: bool, *recipe: GanRecipe) -> None:
    _refuse_unfinished(kind, request)
    import_module(f"gandiff.experiments.training.{kind}.train").train(request, *recipe)
    if as_json:
        echo_json({"out": request.out})
    else:
        typer.echo(f"trained: {show_path(request.out)}")


def _add(kind: str, about: str) -> None:
    @app.command(kind, help=about, epilog=_epilog(kind))
    @takes(TrainingRequest, kind, out=None, device="auto")
    def train(given: Given, *, as_json: Json = False) -> None:
        with _claimed(kind, given, _PARTS.get(kind, ())) as request:
            _train(kind, request, as_json)


_SETTABLE = [
    field.name
    for field in dataclasses.fields(GanRecipe)
    if field.name not in {"augment", "guidance", *ENDS.values()}  # which have another way
]


@app.command(
    "gan",
    epilog=_epilog(
        "gan",
        "gandiff train gan --data photos --resolution 64 --augment --minutes 60",
        "gandiff train gan --recipe non-saturating --set gamma=0.02",
        "gandiff train gan --sweep gamma=0.25,1,4 --minutes 15",
    ),
)
@takes(TrainingRequest, "gan", out=None, device="auto")
def gan(
    given: Given,
    *,
    recipe: Annotated[
        str, typer.Option(help=f"One of {', '.join(RECIPES)}; --set changes its numbers.")
    ] = "default",
    numbers: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a number of the recipe: --set gamma=0.5; gamma_end and other ends move "
            "along unless they are set, too. Repeatable. Numbers: " + ", ".join(_SETTABLE) + ".",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            help="Train with each of several values (gamma=0.25,1,4), each for the whole budget, "
            "and recommend one if it leads by more than the sampling noise of its pictures. Seeds "
            "add to that noise: confirm a winner with several."
        ),
    ] = None,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment", help="Use DiffAugment; recommended for a few thousand images or fewer."
        ),
    ] = False,
    guidance: Annotated[
        str | None,
        typer.Option(
            help="A CLIP model (MODEL/WEIGHTS or a folder) whose similarity to the caption is "
            "added to the generator's loss. CLIP scores by a related model prove little afterwards."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the text-conditioned GAN."""
    changes = read_numbers(numbers or [])
    given_otherwise = {"augment": augment or None, "guidance": guidance}
    changes |= {name: value for name, value in given_otherwise.items() if value is not None}
    chosen = recipe_of(recipe, **changes)
    if sweep is None:
        with _claimed("gan", given) as request:
            _train("gan", request, as_json, chosen)
    else:
        _sweep(given, chosen, sweep, changes, as_json)


def _sweep(
    given: Given,
    recipe: GanRecipe,
    sweep: str,
    fixed: Collection[str],
    as_json: bool,
) -> None:
    """Train several values; what is not finished is trained again without a question."""
    from gandiff.experiments.training.sweep import read_sweep, sweep_recipes

    name, values = read_sweep(GanRecipe, sweep)
    trials = [f"{name}={value}" for value in values]
    with _claimed("gan", given, trials) as request:
        leaves_checkpoints([request.out / trial / "checkpoint.pt" for trial in trials])
        swept = sweep_recipes(request, recipe, name, values, fixed=fixed)
    if as_json:
        echo_json(swept)
    else:
        typer.echo(swept.text)


for _kind, _about in _HELP.items():
    _add(_kind, _about)
