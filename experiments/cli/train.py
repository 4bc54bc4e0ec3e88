"""The train commands; every network that ships with the project was made by one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from gandiff.experiments.cli.invocation import leaves_checkpoints, this_command
from gandiff.experiments.cli.options import Given, takes
from gandiff.experiments.cli.output import Json, echo_json, examples, show_path
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.control.recipe import ControlRecipe
from gandiff.experiments.training.diffusion.recipe import DiffusionRecipe
from gandiff.experiments.training.gan.recipe import GanRecipe
from gandiff.experiments.training.recipes import Recipe, read_numbers, recipe_of, schedule_ends
from gandiff.experiments.training.request import TrainingRequest, chosen_device

app = typer.Typer(
    name="train",
    help="Train a generator, a ControlNet, the judges or the text encoder.",
    epilog=examples(
        "gandiff train gan --minutes 30",
        "gandiff train diffusion --data my-captioned-images --resolution 32 --out runs/mine",
        "gandiff train judges --help",
    ),
    rich_markup_mode=None,
)

_HELP = {
    "judges": "Train the judges of scenes: two classifiers and a scene CLIP.",
    "text": "Train the text encoder that conditions the generators.",
}

_PARTS = {"judges": ("scene-classifier-a", "scene-classifier-b", "scene-clip")}  # folders
_CHECKPOINTS = {  # below --out; where one is, --resume can continue
    **{cls.family: cls.checkpoints for cls in (GanRecipe, DiffusionRecipe, ControlRecipe)},
    "text": ("checkpoint.pt",),
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


def _train(kind: str, request: TrainingRequest, as_json: bool, *recipe: Recipe) -> None:
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


_OWN = {  # options of their own
    GanRecipe: ("augment", "guidance"),
    DiffusionRecipe: ("space",),
    ControlRecipe: ("condition", "pipeline"),
}


def _recipe(cls: type[Recipe]) -> Any:
    return typer.Option(help=f"One of {', '.join(cls.named)}; --set changes its numbers.")


def _numbers(cls: type[Recipe]) -> Any:
    ends = schedule_ends(cls).values()
    names = (field.name for field in dataclasses.fields(cls))
    settable = ", ".join(name for name in names if name not in {*_OWN[cls], *ends})
    start, _, values = cls.example.partition("=")
    return typer.Option(
        "--set",
        help=f"Change a number of the recipe: --set {start}={values.partition(',')[0]}; "
        f"{start}_end and other ends move along unless they are set, too. Repeatable. "
        f"Numbers: {settable}.",
    )


def _swept(cls: type[Recipe]) -> Any:
    return typer.Option(
        help=f"Train with each of several values ({cls.example}), each for the whole budget, and "
        "recommend one if it leads by more than the sampling noise of its pictures. Seeds add to "
        "that noise: confirm a winner with several."
    )


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
    recipe: Annotated[str, _recipe(GanRecipe)] = "default",
    numbers: Annotated[list[str] | None, _numbers(GanRecipe)] = None,
    sweep: Annotated[str | None, _swept(GanRecipe)] = None,
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
    own = {"augment": augment or None, "guidance": guidance}
    _generator(given, _chosen(GanRecipe, recipe, numbers, own), sweep, as_json)


@app.command(
    "diffusion",
    epilog=_epilog(
        "diffusion",
        "gandiff train diffusion --data photos --resolution 64 --minutes 60",
        "gandiff train diffusion --recipe flow --set lr=1e-3",
        "gandiff train diffusion --space pixel --minutes 60",
        "gandiff train diffusion --sweep lr=1e-3,3e-3 --minutes 15",
    ),
)
@takes(TrainingRequest, "diffusion", out=None, device="auto")
def diffusion(
    given: Given,
    *,
    recipe: Annotated[str, _recipe(DiffusionRecipe)] = "default",
    numbers: Annotated[list[str] | None, _numbers(DiffusionRecipe)] = None,
    sweep: Annotated[str | None, _swept(DiffusionRecipe)] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="What is denoised: the latents of an autoencoder that is trained first (latent), "
            "or pixel (default: what the recipe says)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the diffusion model: its autoencoder first, then the U-Net in latent space."""
    chosen = _chosen(DiffusionRecipe, recipe, numbers, {"space": space})
    _generator(given, chosen, sweep, as_json)


@app.command(
    "control",
    epilog=examples(
        "gandiff train control --condition outline --minutes 30",
        "gandiff train control --condition depth --minutes 0.2 --out runs/try-control",
        "gandiff train control --pipeline runs/train-diffusion --minutes 60 --resume",
    ),
)
@takes(TrainingRequest, "control", out=None, device="auto")
def control(
    given: Given,
    *,
    condition: Annotated[
        str, typer.Option(help="What it follows: the outline of the objects, or their depth.")
    ] = "outline",
    pipeline: Annotated[
        str,
        typer.Option(
            help="The pipeline that it is trained for: a shipped name, or a folder that gandiff "
            "train diffusion wrote."
        ),
    ] = "diffusion-scenes",
    numbers: Annotated[list[str] | None, _numbers(ControlRecipe)] = None,
    as_json: Json = False,
) -> None:
    """Train a ControlNet for the small diffusion model, which stays as it is."""
    own = {"condition": condition, "pipeline": pipeline}
    recipe = _chosen(ControlRecipe, "default", numbers, own).recipe
    with _claimed("control", given) as request:
        _train("control", request, as_json, recipe)


class _Chosen(NamedTuple):
    """A recipe, and which of its numbers were given."""

    recipe: Recipe
    given: Collection[str]


def _chosen(
    cls: type[Recipe], name: str, numbers: list[str] | None, own: Mapping[str, object]
) -> _Chosen:
    changes = read_numbers(cls, numbers or [])
    changes |= {option: value for option, value in own.items() if value is not None}
    return _Chosen(recipe_of(cls, name, **changes), changes.keys())


def _generator(given: Given, chosen: _Chosen, sweep: str | None, as_json: bool) -> None:
    """Train with one recipe, or with several values of one of its numbers."""
    kind = chosen.recipe.family
    if sweep is None:
        with _claimed(kind, given) as request:
            _train(kind, request, as_json, chosen.recipe)
    else:
        _sweep(given, chosen, sweep, as_json)


def _sweep(given: Given, chosen: _Chosen, sweep: str, as_json: bool) -> None:
    """Train several values; what is not finished is trained again without a question."""
    from gandiff.experiments.training.sweep import read_sweep, sweep_recipes

    recipe = chosen.recipe
    name, values = read_sweep(type(recipe), sweep)
    trials = [f"{name}={value}" for value in values]
    with _claimed(recipe.family, given, trials) as request:
        states = [Path(trial, state) for trial in trials for state in recipe.checkpoints]
        leaves_checkpoints([request.out / state for state in states])
        swept = sweep_recipes(request, recipe, name, values, fixed=chosen.given)
    if as_json:
        echo_json(swept)
    else:
        typer.echo(swept.text)


for _kind, _about in _HELP.items():
    _add(_kind, _about)
