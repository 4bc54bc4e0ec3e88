"""Options that the train commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    str,
    typer.Option(
        help="'scenes', made as it goes; a folder of captioned images; or a COCO captions JSON."
    ),
]
Resolution = Annotated[
    int,
    typer.Option(
        help="Side of the images in px, to which pictures in files are centre-cropped and scaled. "
        "GAN: a power of two from 8 to 1024; diffusion: a multiple of 8; judges: 32."
    ),
]
Minutes = Annotated[
    float,
    typer.Option(
        help="How long to train, in wall time, all starts together; the text encoder of a "
        "generator takes a tenth of it on top, 3 minutes at most."
    ),
]
Kimg = Annotated[
    float | None,
    typer.Option(
        help="Thousands of images to train on, in place of --minutes: the same CPU repeats it."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; of scenes from 0 to 2047.")]
Out = Annotated[
    Path | None, typer.Option(help="Where the result goes (default: runs/train-<what>).")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on from the state in the output folder; give the other options again, too.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        help="Images in one step; of a GAN over all processes, divisible by --processes times "
        "--accumulate."
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda or mps; auto is CUDA if there is one, else the CPU.")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="What to compute in; auto is bfloat16 where that is fast."),
]
Accumulate = Annotated[
    int,
    typer.Option(
        help="Gradient accumulation: split each batch into this many parts, to save memory."
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        help="Data-parallel processes that share each batch: one for each GPU, or several on a CPU."
    ),
]
Ticks = Annotated[
    int, typer.Option(help="Measurements and sample grids over the whole run, at most.")
]
Keep = Annotated[int, typer.Option(help="How many checkpoints to keep beside the best one.")]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Also write the log for TensorBoard; needs the package tensorboard."
    ),
]

# Of the GAN alone.
Recipe = Annotated[
    str, typer.Option(help="default, relativistic or non-saturating; --set changes its numbers.")
]
Numbers = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a number of the recipe: --set gamma=0.5; gamma_end and other ends move along "
        "unless they are set, too. Repeatable. There are loss, reading, reading_lr, sketching, lr, "
        "g_lr_scale, betas, gamma, lazy, mismatches, matching, energy, silent, "
        "ema_halflife_images, minibatch_std and guidance_weight.",
    ),
]
Sweep = Annotated[
    str | None,
    typer.Option(
        help="Train with each of several values (gamma=0.25,1,4), each for the whole budget, and "
        "recommend one if it leads by more than the sampling noise of its pictures. Seeds add to "
        "that noise: confirm a winner with several."
    ),
]
Augment = Annotated[
    bool,
    typer.Option(
        "--augment", help="Use DiffAugment; recommended for a few thousand images or fewer."
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        help="A frozen CLIP or T5 text encoder, such as openai/clip-vit-large-patch14, "
        "google/flan-t5-base or a folder; if omitted, a small one is trained on the captions."
    ),
]
Guidance = Annotated[
    str | None,
    typer.Option(
        help="A CLIP model (MODEL/WEIGHTS or a folder) whose similarity to the caption is added to "
        "the generator's loss. CLIP scores by a related model prove little afterwards."
    ),
]
Monitor = Annotated[
    str | None,
    typer.Option(
        help="Encoder for the measurements at each tick, one of 'gandiff list encoders' (default: "
        "thumbnails of 8 px). Scenes at 32 px are always measured by their judge."
    ),
]
