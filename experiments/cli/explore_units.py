"""What the units of a GAN stand for, and painting with them; more of ``gandiff explore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gandiff.common.errors import RequestError
from gandiff.experiments.cli.explore import app, claimed, load_gan, write_grid
from gandiff.experiments.cli.options import Prompts
from gandiff.experiments.cli.output import (
    Json,
    Overwrite,
    Quiet,
    echo_json,
    echo_table,
    examples,
    show_path,
)

if TYPE_CHECKING:
    from gandiff.models.gan.editing import Grid
    from gandiff.models.gan.units import Units

_SHOWN, _COLUMNS = 3, 8  # units of a concept in the table, pictures of it in the figure


@app.command(epilog=examples("gandiff explore units --weights runs/my-gan --out units.png"))
def units(
    weights: Annotated[str, typer.Option(help="A shipped name or a folder.")] = "gan-scenes",
    pictures: Annotated[
        int, typer.Option(min=64, max=65536, help="Pictures of one object each that it draws.")
    ] = 1024,
    units_file: Annotated[
        Path | None,
        typer.Option(
            "--units", help="The .npz to write. [default: units.npz beside the weights, for paint]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("units.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Which units of a GAN of scenes agree with which concepts: GAN dissection.

    A unit is a channel of a level; 16:5 is unit 5 at 16 px. The table has the best units of each
    concept by intersection over union of where they are on with where the concept is; "low" are
    those that are below their usual levels there. The PNG has a row for each concept, in the order
    of the table, dark where the best unit is not on.
    """
    from gandiff.common.outputs import claim_file
    from gandiff.models.gan.units import UNITS, is_our_units, write_units
    from gandiff.models.weights import require_weights

    folder = require_weights(weights)
    target = units_file or folder / UNITS
    claimed_units = claim_file(target, ".npz", is_our_units, overwrite=overwrite, option="--units")
    with claimed(out, overwrite), claimed_units:
        dissection, figure = _dissected(folder, pictures)
        write_units(target, dissection)
        write_grid(out, figure, quiet=True, as_json=False)
    best = {concept: _best(dissection, concept) for concept in dissection.concepts}
    if as_json:
        echo_json({"units": target, "out": out, "concepts": best})
        return
    if quiet:
        return
    cells = [
        [f"{one['unit']} {one['side']} {one['iou']:.2f}" for one in row] for row in best.values()
    ]
    heads = ["best unit, IoU", *("next" for _ in range(_SHOWN - 1))]
    echo_table(["concept", *heads], [[name, *row] for name, row in zip(best, cells, strict=True)])
    typer.echo(f"written: {show_path(target)}, {show_path(out)}")


@app.command(
    epilog=examples(
        'gandiff explore paint "a red star on black" --units "blue ring" --region 18,18,31,31'
    )
)
def paint(
    prompts: Prompts,
    units: Annotated[
        str,
        typer.Option(
            metavar="UNITS",
            help="What to switch on: concepts (blue ring) and units (16:5); after a -, off.",
        ),
    ],
    region: Annotated[
        str,
        typer.Option(
            metavar="X0,Y0,X1,Y1", help="Where, in px from the top left; the last two are outside."
        ),
    ],
    weights: Annotated[str, typer.Option(help="A shipped name or a folder.")] = "gan-scenes",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise, the same for all.")] = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("painted.png"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Switch units of a GAN on in a region of its own pictures.

    A row for each prompt; the columns are the picture, the same with the units switched, and with
    as many random units set to their own levels for the same concepts. A picture of your own is
    painted in by gandiff draw --init PICTURE --mask MASK --paint UNITS.
    """
    from gandiff.models.gan.editing import paint_units
    from gandiff.models.gan.units import read_units, switch_of
    from gandiff.models.weights import require_weights

    edges = _edges(region)
    folder = require_weights(weights)
    switch = switch_of(read_units(folder), units)
    try:
        with claimed(out, overwrite):
            grid = paint_units(load_gan(weights), prompts, switch, edges, seed)
            write_grid(out, grid, quiet, as_json)
    except ValueError as error:
        raise RequestError(f"--region {region}: {error}") from error


def _dissected(folder: Path, pictures: int) -> tuple[Units, Grid]:
    """The units of the GAN in a folder, and pictures of where the best of each concept are on."""
    import numpy as np

    from gandiff.common.files import file_sha256
    from gandiff.experiments.scenes.single_objects import object_shares, single_objects
    from gandiff.models.gan.config import WEIGHTS
    from gandiff.models.gan.dissection import dissect, unit_pictures

    gan, scenes = load_gan(str(folder)), single_objects(pictures)
    dissection = dissect(
        gan,
        scenes.captions,
        scenes.concepts,
        lambda drawn: object_shares(drawn, scenes.scenes),
        file_sha256(folder / WEIGHTS),
    )
    shown = {  # a caption that comes again is drawn with another seed
        concept: [scenes.captions[i] for i in np.resize(which.nonzero()[0], _COLUMNS)]
        for concept, which in scenes.concepts.items()
        if which.any()
    }
    return dissection, unit_pictures(gan, dissection, shown)


def _best(dissection: Units, concept: str) -> list[dict[str, Any]]:
    row = dissection.concepts.index(concept)
    return [
        {
            "unit": dissection.address(unit),
            "side": "high" if dissection.sign[row, unit] > 0 else "low",
            "iou": round(float(dissection.iou[row, unit]), 4),
        }
        for unit in dissection.best(concept, _SHOWN)
    ]


def _edges(region: str) -> tuple[int, int, int, int]:
    try:
        left, top, right, bottom = (int(part) for part in region.split(","))
    except ValueError:
        raise RequestError(
            f"--region {region}: must be four whole numbers, such as 18,18,31,31"
        ) from None
    return left, top, right, bottom
