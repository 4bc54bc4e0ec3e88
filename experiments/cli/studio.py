"""The studio command: a page on this machine to try models on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from gandiff.common.errors import RequestError
from gandiff.experiments.cli.draw import Device, Models
from gandiff.experiments.cli.output import (
    Json,
    Quiet,
    echo_json,
    echo_warnings,
    examples,
    on_desktop,
)

app = typer.Typer()
Show = Annotated[
    bool | None,
    typer.Option("--open/--no-open", help="Open the page (default: in a terminal on a desktop)."),
]


@app.command(
    epilog=examples(
        "gandiff studio",
        "gandiff studio --model runs/my-gan --model diffusion-scenes,num_inference_steps=10",
    )
)
def studio(
    models: Models = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of the address. [default: 7860 or the next free one]"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where pictures go.")] = Path(
        "runs/studio"
    ),
    device: Device = "auto",
    show: Show = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Try models on a page: draw, change, paint and follow outlines, side by side.

    Every picture has the gandiff draw command that makes it again. The page is for this machine
    alone and works without a network; its address is printed once it is there. It takes Gradio:
    pip install "gandiff[studio]".
    """
    if importlib.util.find_spec("gradio") is None:
        raise RequestError(
            "gandiff studio needs Gradio, which is not installed; pip install 'gandiff[studio]'"
        )
    from gandiff.experiments.draw.draw import DEFAULT
    from gandiff.experiments.studio import serve
    from gandiff.experiments.studio.studio import Studio

    opened = Studio(models or DEFAULT, out, device)
    with serve.open_port(port) as bound:
        serve.serve(opened, bound, lambda address: _ready(address, show, quiet, as_json))


def _ready(address: str, show: bool | None, quiet: bool, as_json: bool) -> None:
    if as_json:
        echo_json({"address": address})
    else:
        typer.echo(address)
    if not quiet:
        typer.echo("Ctrl-C ends the studio; its pictures stay.", err=True)
    if (on_desktop() if show is None else show) and typer.launch(address):
        echo_warnings(["there is no browser to open; go to the address"])
