"""The train commands; every network that ships with the project was made by one of them."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from gandiff.experiments.cli import train_options as options
from gandiff.experiments.cli.invocation import leaves_checkpoints, this_command
from gandiff.experiments.cli.output import Json, Quiet, echo_json, examples, show_path

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

_CHECKPOINTS = {  # below --out; where one is, --resume can go on
    "gan": ("checkpoint.pt",),
    "text": ("checkpoint.pt",),
    "diffusion": ("checkpoint.pt", "state/vae/checkpoint.pt", "state/unet/checkpoint.pt"),
    "judges": tuple(
        f"scene-{name}/checkpoint.pt" for name in ("classifier-a", "classifier-b", "clip")
    ),
}


def _epilog(kind: str, *more: str) -> str:
    return examples(
        f"gandiff train {kind} --minutes 30",
        f"gandiff train {kind} --minutes 0.2 --out runs/try-{kind}",
        f"gandiff train {kind} --minutes 60 --resume",
        *more,
    )


def _request(kind: str, out: Path | None, device: str, **chosen: Any) -> Any:
    from gandiff.experiments.training.checks import chosen_device
    from gandiff.experiments.training.request import TrainingRequest

    out = out or Path("runs", f"train-{kind}")
    leaves_checkpoints([out / name for name in _CHECKPOINTS[kind]])
    return TrainingRequest(out=out, device=chosen_device(device), command=this_command(), **chosen)


def _refuse_unfinished(kind: str, request: Any) -> None:
    from gandiff.experiments.training.checks import refuse_unfinished

    if kind != "judges":
        refuse_unfinished(request, *_CHECKPOINTS[kind])
        return
    for path in map(Path, _CHECKPOINTS[kind]):  # judges have a record each
        refuse_unfinished(dataclasses.replace(request, out=request.out / path.parent), path.name)


def _done(out: Path, as_json: bool) -> None:
    if as_json:
        echo_json({"out": out})
    else:
        typer.echo(f"trained: {show_path(out)}")


def _add(kind: str, about: str) -> None:
    def train(
        data: options.Data = "scenes",
        resolution: options.Resolution = 32,
        minutes: options.Minutes = 30.0,
        seed: options.Seed = 0,
        out: options.Out = None,
        resume: options.Resume = False,
        batch_size: options.BatchSize = 32,
        device: options.Device = "auto",
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        request = _request(
            kind,
            out,
            data=data,
            resolution=resolution,
            minutes=minutes,
            seed=seed,
            resume=resume,
            batch_size=batch_size,
            device=device,
            quiet=quiet,
        )
        _refuse_unfinished(kind, request)
        import_module(f"gandiff.experiments.training.{kind}.train").train(request)
        _done(request.out, as_json)

    app.command(kind, help=about, epilog=_epilog(kind))(train)


@app.command(
    "gan",
    epilog=_epilog(
        "gan",
        "gandiff train gan --data photos --resolution 64 --augment --minutes 60",
        "gandiff train gan --recipe non-saturating --set gamma=0.02",
        "gandiff train gan --sweep gamma=0.25,1,4 --minutes 15",
    ),
)
def gan(
    data: options.Data = "scenes",
    resolution: options.Resolution = 32,
    minutes: options.Minutes = 30.0,
    kimg: options.Kimg = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    resume: options.Resume = False,
    recipe: options.Recipe = "default",
    numbers: options.Numbers = None,
    sweep: options.Sweep = None,
    augment: options.Augment = False,
    text_encoder: options.TextEncoder = None,
    guidance: options.Guidance = None,
    monitor: options.Monitor = None,
    batch_size: options.BatchSize = 32,
    accumulate: options.Accumulate = 1,
    processes: options.Processes = 1,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    ticks: options.Ticks = 24,
    keep: options.Keep = 1,
    tensorboard: options.TensorBoard = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the text-conditioned GAN."""
    from gandiff.experiments.training.gan.recipe import read_numbers, recipe_of
    from gandiff.experiments.training.gan.sweep import read_sweep, sweep_recipes
    from gandiff.experiments.training.gan.train import train

    request = _request(
        "gan",
        out,
        data=data,
        resolution=resolution,
        minutes=minutes,
        kimg=kimg,
        seed=seed,
        resume=resume,
        batch_size=batch_size,
        accumulate=accumulate,
        processes=processes,
        device=device,
        dtype=dtype,
        text_encoder=text_encoder,
        monitor=monitor,
        ticks=ticks,
        keep=keep,
        tensorboard=tensorboard,
        quiet=quiet,
    )
    changes = read_numbers(numbers or [])
    if augment:
        changes["augment"] = True
    if guidance is not None:
        changes["guidance"] = guidance
    chosen = recipe_of(recipe, **changes)
    if sweep is None:  # which trains again what is not finished
        _refuse_unfinished("gan", request)
        train(request, chosen)
        _done(request.out, as_json)
        return
    name, values = read_sweep(sweep)
    leaves_checkpoints([request.out / f"{name}={value}" / "checkpoint.pt" for value in values])
    found = sweep_recipes(request, chosen, name, values, fixed=changes)
    if as_json:
        echo_json(found)
    else:
        typer.echo(found.text)


for _kind, _about in _HELP.items():
    _add(_kind, _about)
