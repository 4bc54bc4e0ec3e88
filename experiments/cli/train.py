"""The train commands; every network that ships with the project was made by one of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from gandiff.experiments.cli.invocation import this_command
from gandiff.experiments.cli.output import Json, Quiet, echo_json, examples, show_path

app = typer.Typer(
    help="Train a generator, the judges or the text encoder.",
    epilog=examples(
        "gandiff train gan --minutes 30",
        "gandiff train diffusion --data my-captioned-images --resolution 32 --out runs/mine",
        "gandiff train judges --help",
    ),
    rich_markup_mode=None,
)

_HELP = {
    "gan": "Train the text-conditioned GAN.",
    "diffusion": "Train the latent diffusion model: its VAE first, then the U-Net.",
    "judges": "Train the judges of scenes: two classifiers and a scene CLIP.",
    "text": "Train the text encoder that conditions the generators.",
}


def _add(kind: str, about: str) -> None:
    def train(
        data: Annotated[
            str, typer.Option(help="'scenes', made as it goes, or a folder of captioned images.")
        ] = "scenes",
        resolution: Annotated[
            int, typer.Option(min=8, max=1024, help="Side of the images in px.")
        ] = 32,
        minutes: Annotated[
            float, typer.Option(min=0.0, help="How long to train, in wall time.")
        ] = 30.0,
        seed: Annotated[int, typer.Option(min=0, help="Where every random choice starts.")] = 0,
        out: Annotated[
            Path | None, typer.Option(help="Where the result goes (default: runs/train-<what>).")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on from the state in the output folder.")
        ] = False,
        batch_size: Annotated[int, typer.Option(min=1, help="Images in one step.")] = 32,
        device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
        dtype: Annotated[
            Literal["auto", "float32", "bfloat16"],
            typer.Option(help="What to compute in; auto is bfloat16 where that is fast."),
        ] = "auto",
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        from gandiff.experiments.training.request import TrainingRequest

        request = TrainingRequest(
            data=data,
            resolution=resolution,
            minutes=minutes,
            seed=seed,
            out=out or Path("runs", f"train-{kind}"),
            resume=resume,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            quiet=quiet,
            command=this_command(),
        )
        import_module(f"gandiff.experiments.training.{kind}").train(request)
        if as_json:
            echo_json({"out": request.out})
        else:
            typer.echo(f"trained: {show_path(request.out)}")

    epilog = examples(
        f"gandiff train {kind} --minutes 30",
        f"gandiff train {kind} --minutes 0.2 --out runs/try-{kind}",
        f"gandiff train {kind} --minutes 60 --resume",
    )
    app.command(kind, help=about, epilog=epilog)(train)


for _kind, _about in _HELP.items():
    _add(_kind, _about)
