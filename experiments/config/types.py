"""The comparison file as types: what is compared, on which prompts, and how it is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen

from gandiff.common.validation import settings_class
from gandiff.models.generator import Task

Count = Annotated[int, Ge(1)]
OF_EDITS = ("resolution", "control", "kinds")  # options that the suite scene-edits alone takes
EditKind = Literal["recolour", "reshape", "remove", "add", "background"]


@settings_class
class SuiteConfig:
    """Which prompts; a bare name or path may stand for the whole mapping."""

    name: str = "scenes"
    """A built-in or installed suite, or the path of a .txt, .csv, .tsv or .jsonl file of prompts.
    """
    split: Literal["test", "validation", "train"] = "test"
    """Which split of a suite that has them. Knobs are chosen on validation, results quoted on
    test.
    """
    prompts: Count | None = None
    """Exactly the first N prompts (built-in scenes: 128 unless given; a file: all of it)."""
    limit: Count | None = None
    """At most N of those, with the same share of each category where there are any; `--limit` sets
    this.
    """
    resolution: Annotated[int, Ge(8)] | None = None
    """Side in px of the pictures of `scene-edits` (32 unless given)."""
    control: Literal["outline", "depth"] | None = None
    """What the control images of `scene-edits` show of the result (outlines unless given)."""
    kinds: Annotated[tuple[EditKind, ...], MinLen(1)] | None = None
    """Which changes `scene-edits` has, in turn (all five unless given)."""


@settings_class
class GeneratorConfig:
    """One generator: its type, and the settings that this type knows."""

    type: str
    """A built-in or installed generator type, or `module:factory`."""
    timing: Literal["on", "off"] | None = None
    """Whether its speed is measured (Python functions and paid services: not unless `on`)."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Everything else that the file says about it, defaults filled in."""


@settings_class
class ReferenceConfig:
    """The real images that distribution metrics compare with."""

    type: Literal["scenes", "folder"] = "folder"
    """`scenes`: rendered ones; `folder`: image files."""
    folder: str | None = None
    """Where the image files are, relative to the comparison file."""
    images: Annotated[int, Ge(2)] | None = None
    """How many (scenes: 2000 unless given; a folder: all of it, else N drawn by class)."""

    def __post_init__(self) -> None:
        if self.type == "folder" and not self.folder:
            raise ValueError("a reference needs 'folder: PATH', or 'type: scenes'")
        if self.type == "scenes" and self.folder:
            raise ValueError("a reference is either 'type: scenes' or a folder, not both")


@settings_class
class TimingConfig:
    """How speed is measured: in rounds of processes, in which the generators take turns.

    So a slow moment of the machine hits all, and how it drifts shows in the intervals.
    """

    enabled: bool = True
    """Whether it is measured; `timing: off` stands for `timing: {enabled: false}`."""
    warmup: Annotated[int, Ge(0)] = 1
    """Calls that are thrown away first, in each round; of fast generators more (`min_seconds`)."""
    repeats: Count = 10
    """Calls that are measured at least, for each batch size, dealt out to the rounds."""
    min_seconds: Annotated[float, Ge(0), Le(60)] = 0.3
    """Fast generators are called for so long in each round and batch size, and a third of it to
    warm up, each at most 50 times; not where calls may cost money.
    """
    rounds: Count | None = None
    """Rounds of processes: 3 if omitted, or 1 where there are fewer than 64 prompts."""
    batch_sizes: Annotated[tuple[Count, ...], MinLen(1)] = (1, 8, 32)
    """Batch sizes tried; latency is quoted at 1, images per second at the best."""


@settings_class
class ReportConfig:
    """What the report shows besides the numbers."""

    gallery_prompts: Annotated[int, Ge(0)] = 24
    """Prompts in the gallery, spread over the categories."""
    trace_prompts: Annotated[int, Ge(0)] = 2
    """Prompts whose way from noise to image is shown."""
    trace_steps: Count = 6
    """Moments on that way, spread evenly from the noise to the image."""


@settings_class
class Comparison:
    """A comparison: suite, generators, metrics and everything that decides the outcome.

    ``sweeps`` are the generators that each name with ``sweep`` stands for.
    """

    name: str
    """Name of the run; the run folder is runs/<name> unless --out says otherwise."""
    generators: Annotated[Mapping[str, GeneratorConfig], MinLen(1)]
    """What is compared. Each name becomes a folder of images and a column of the report; one with
    `sweep` stands for several.
    """
    metrics: tuple[str, ...]
    """Metrics with their parameters, such as `fd(encoder=scenes)`; one that names no encoder takes
    Inception, on scenes the shipped one. `timing` measures costs.
    """
    suite: SuiteConfig = SuiteConfig()
    """The prompts."""
    task: Task = "text_to_image"
    """What is to be done. The others take pictures of the suite, such as the columns `init_image`
    (image_to_image), `init_image` and `mask` (inpaint, paint) or `control_image` (control).
    """
    strength: Annotated[float, Gt(0), Le(1)] | None = None
    """How far a result may go from its init image, where the prompt does not say; each generator's
    own if neither does.
    """
    samples_per_prompt: Annotated[int, Ge(1), Le(10_000)] = 4
    """Images for each prompt and generator; diversity within a prompt needs 2 or more."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the run; the seed of each image follows from it, the prompt and the sample."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the generators run; `auto` takes an accelerator if there is one."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Number format of the weights."""
    batch_size: Count = 32
    """Images made by one call."""
    reference: ReferenceConfig | None = None
    """Real images for the distribution metrics; without them those cannot be asked for."""
    encoders: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files or folders with the weights of encoders, such as `inception: inception.pth`, relative
    to the comparison file; what is not named here is fetched. `--weights` adds to them.
    """
    timing: TimingConfig = TimingConfig()
    """How speed is measured, or `off`."""
    headline: tuple[str, str] | None = None
    """The two generators that the verdict is about; otherwise the first GAN and the first
    diffusion.
    """
    report: ReportConfig = ReportConfig()
    """What the report shows."""
    sweeps: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict, metadata={"internal": True}
    )
    base: str = dataclasses.field(default=".", metadata={"internal": True})
    text: str = dataclasses.field(default="", metadata={"internal": True}, repr=False)

    @property
    def is_on_scenes(self) -> bool:
        """Whether the pictures are rendered scenes, by the suite or the reference."""
        reference = self.reference is not None and self.reference.type == "scenes"
        return self.suite.name in ("scenes", "scene-edits") or reference

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file start from."""
        return Path(self.base)


def comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    """Write a comparison as plain data, defaults filled; ``comparison_from_dict`` reads it back."""
    data = dataclasses.asdict(comparison)
    del data["text"], data["base"]
    sweeps = data.pop("sweeps")
    if sweeps:
        data["sweeps"] = {name: list(points) for name, points in sweeps.items()}
    data["generators"] = {
        name: {
            "type": config.type,
            **({"timing": config.timing} if config.timing else {}),
            **config.settings,
        }
        for name, config in comparison.generators.items()
    }
    if not data["encoders"]:  # as runs of earlier versions have it
        del data["encoders"]
    for option in OF_EDITS:
        if data["suite"][option] is None:
            del data["suite"][option]
    if comparison.task == "text_to_image":
        del data["task"]
    if comparison.strength is None:
        del data["strength"]
    for key in ("metrics", "headline"):
        data[key] = list(data[key]) if data[key] is not None else None
    data["timing"]["batch_sizes"] = list(data["timing"]["batch_sizes"])
    if data["timing"]["enabled"]:  # as runs of earlier versions have it
        del data["timing"]["enabled"]
    return data
