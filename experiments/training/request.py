"""What is asked of a training; each field is an option of ``gandiff train`` and says how it reads.

The one definition of these options: the command line, the checks and the docs are made of it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from gandiff.common.devices import resolve_device
from gandiff.common.options import described, option

Precision = Literal["auto", "float32", "bfloat16"]
GENERATORS = ("gan", "diffusion")
MEASURED = (*GENERATORS, "control")  # at ticks, with a budget in images


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """One training.

    The budget is ``minutes`` of wall time, or ``kimg`` thousand images where that is given: only
    the latter makes a run that can be repeated bit for bit, on the same CPU with the same
    settings. Another processor, another number of threads, and what ``dtype`` ``auto`` chooses
    there, round differently. ``command`` goes into the model card, for people to read.
    """

    data: str = option(
        "scenes",
        "'scenes', made as it goes; a folder of captioned images; or a COCO captions JSON.",
    )
    resolution: int = option(
        32,
        "Side of the images in px, to which pictures in files are centre-cropped and scaled. "
        "GAN: a power of two from 8 to 1024; diffusion: a multiple of 8; ControlNets: that of "
        "their pipeline; judges: 32.",
    )
    minutes: Annotated[float, Gt(0)] = option(
        30.0,
        "How long to train, in wall time, all starts together; the text encoder of a "
        "generator takes a tenth of it on top, 5 minutes at most.",
    )
    kimg: Annotated[float, Gt(0)] | None = option(
        None,
        "Thousands of images to train on, in place of --minutes: the same CPU repeats it.",
        only=MEASURED,
    )
    seed: Annotated[int, Interval(ge=0, le=(1 << 32) - 1)] = option(
        0, "Random seed; of scenes from 0 to 2047."
    )  # on a CPU torch looks at no more bits
    out: Path = dataclasses.field(
        metadata=described("Where the result goes (default: runs/train-<what>).")
    )
    resume: bool = option(
        False, "Continue from the state in the output folder; give the other options again, too."
    )
    overwrite: bool = option(
        False,
        "Write over what lies in the output folder: an unfinished training, and files that gandiff "
        "did not write.",
    )
    text_encoder: str | None = option(
        None,
        "A frozen CLIP or T5 text encoder, such as openai/clip-vit-large-patch14, "
        "google/flan-t5-base or a folder; if omitted, a small one is trained on the captions.",
        only=GENERATORS,
    )
    monitor: str | None = option(
        None,
        "Encoder for the measurements at each tick, one of 'gandiff list encoders' (default: "
        "thumbnails of 8 px). Scenes at 32 px are always measured by their judge.",
        only=GENERATORS,
    )
    batch_size: Annotated[int, Ge(1)] = option(
        32,
        "Images in one step, over all processes; divisible by --processes times --accumulate.",
    )
    accumulate: Annotated[int, Ge(1)] = option(
        1,
        "Gradient accumulation: split each batch into this many parts, to save memory.",
        only=MEASURED,
    )
    processes: Annotated[int, Ge(1)] = option(
        1,
        "Data-parallel processes that share each batch: one for each GPU, or several on a CPU.",
        only=MEASURED,
    )
    device: str = option("cpu", "cpu, cuda or mps; auto is CUDA if there is one, else the CPU.")
    dtype: Precision = option(
        "auto", "What to compute in; auto is bfloat16 where that is fast.", only=MEASURED
    )
    compile: bool = option(
        False,
        "Compile the U-Net (torch.compile), which takes a minute or three at each start and pays "
        "in trainings of more than half an hour; needs a C++ compiler on a CPU.",
        only=("diffusion", "control"),
    )
    ticks: Annotated[int, Ge(1)] = option(
        24, "Measurements and sample grids over the whole run, at most.", only=MEASURED
    )
    keep: Annotated[int, Ge(1)] = option(
        1, "How many checkpoints to keep beside the best one.", only=MEASURED
    )
    tensorboard: bool = option(
        False, "Also write the log for TensorBoard; needs the package tensorboard.", only=MEASURED
    )
    quiet: bool = option(False, "No progress on stderr.", names=("--quiet", "-q"))
    command: str = "gandiff train"


def chosen_device(device: str) -> str:
    """Turn ``auto`` into CUDA where there is a GPU, else into the CPU: trainings were not tried on
    others. Other names stay.
    """
    resolved = resolve_device(device)
    return "cpu" if device == "auto" and resolved == "mps" else resolved
