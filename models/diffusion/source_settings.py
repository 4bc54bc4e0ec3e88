"""What a comparison file may say of more weights than one pipeline: stages, LoRAs, quantisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import AfterValidator, BeforeValidator

from gandiff.common.errors import SettingError
from gandiff.common.validation import settings_class
from gandiff.models.diffusion.places import is_single_file
from gandiff.models.settings import Text

Offload = Literal["none", "model", "sequential"]
NumberFormat = Literal["float32", "float16", "bfloat16"]


def _whole(least: int) -> AfterValidator:
    """Where an item is wrong, pydantic's own check of the length says nonsense besides."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(items) < least:
            raise ValueError(
                f"must have at least {least} item{'s' * (least > 1)}, got {len(items)}"
            )
        return items

    return AfterValidator(check)


def _or_bare(kind: Any, key: str) -> BeforeValidator:
    """Take a bare text for the setting ``key`` of a mapping."""

    def read(item: Any) -> Any:
        if isinstance(item, str):
            return kind(**{key: item})
        if not isinstance(item, Mapping):
            return item
        # Behind a function pydantic no longer knows that lists are those of JSON.
        return {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}

    return BeforeValidator(read, json_schema_input_type=str | kind)


def _one_network(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        raise ValueError(
            f"must be one directory or hub id, got a list of {len(value)}: a request has one "
            "control image; give each ControlNet to a generator of its own"
        )
    return value


ControlNet = Annotated[Text, BeforeValidator(_one_network, json_schema_input_type=Text)]
# Settings of one pipeline that say nothing where there are several stages.
_OF_ONE = (
    *("pipeline", "revision", "prior", "config", "unet", "transformer", "loras"),
    *("controlnet", "height", "width", "extra", "scheduler_options"),
)


@settings_class
class Lora:
    """A LoRA that changes the weights of the pipeline; a bare path stands for `path`."""

    path: Text
    """A file of weights, a directory that holds it, or a hub id."""
    weight: float = 1.0
    """How strongly it acts; 1 is as it was trained."""
    file: Text | None = None
    """Which file, where the directory or the hub repository has several."""
    revision: Text | None = None
    """Branch, tag or commit on the hub."""
    name: Text | None = None
    """What diffusers calls it; left out, `lora_1`, `lora_2`, ..."""


Loras = Annotated[tuple[Annotated[Lora, _or_bare(Lora, "path")], ...], _whole(1)]


@settings_class
class Stage:
    """One stage of a cascade; a bare directory or hub id stands for `pipeline`."""

    pipeline: Text
    """A directory or a hub id. All stages after the first take the image of the one before."""
    revision: Text | None = None
    """Branch, tag or commit on the hub."""
    variant: Text | None = None
    """Which of several sets of weights files, such as `fp16`."""
    scheduler: Text | None = None
    """As for a pipeline."""
    scheduler_options: Mapping[str, Any] | None = None
    """Arguments of the scheduler."""
    num_inference_steps: Annotated[int, Ge(1)] | None = None
    """Steps of this stage; left out, those beside `stages`, else the pipeline's own."""
    guidance_scale: Annotated[float, Ge(0)] | None = None
    """Guidance of this stage; left out, that beside `stages`, else the pipeline's own."""
    height: Annotated[int, Ge(8)] | None = None
    """In px; left out, the pipeline's own. Give both or neither."""
    width: Annotated[int, Ge(8)] | None = None
    """In px."""
    extra: Mapping[str, Any] | None = None
    """More arguments of this stage's call, such as `noise_level`."""
    loras: Loras | None = None
    """LoRAs of this stage."""


@settings_class
class Quantization:
    """Weights in fewer bits, by a backend that diffusers knows and that has to be installed."""

    backend: Literal["bitsandbytes_4bit", "bitsandbytes_8bit", "torchao", "quanto"]
    """Which library keeps the weights."""
    components: Annotated[tuple[Text, ...], _whole(1)] | None = None
    """Such as `transformer` and `text_encoder_2`; left out, the network that denoises."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of the backend's configuration, such as `bnb_4bit_quant_type: nf4`."""


Stages = Annotated[tuple[Annotated[Stage, _or_bare(Stage, "pipeline")], ...], _whole(2)]


def check_sources(settings: Any) -> None:
    """Raise ``ValueError`` for settings of a diffusers pipeline that contradict each other."""
    if settings.stages is None and settings.pipeline is None:
        raise SettingError(("pipeline",), "missing required field (or stages, for a cascade)")
    if settings.stages is not None:
        for name in _OF_ONE:
            if getattr(settings, name):
                raise ValueError(
                    f"{name} and stages exclude each other: what belongs to one stage stands in "
                    "its mapping, such as stages: [{pipeline: DIR, ...}, ...]"
                )
        settings_of_stages(settings)
    if settings.unet is not None and settings.transformer is not None:
        raise ValueError("give unet or transformer, not both: a pipeline has one of them")
    if settings.fuse_loras and not settings.loras:
        raise ValueError("fuse_loras needs loras")
    if is_single_file(settings.controlnet):
        raise ValueError("controlnet must be a directory or a hub id, not a file of weights")
    if settings.controlnet is None and settings.controlnet_conditioning_scale != 1:
        raise ValueError("controlnet_conditioning_scale needs controlnet")
    if settings.controlnet is None and settings.control_mode is not None:
        raise ValueError("control_mode needs controlnet")
    single = is_single_file(settings.pipeline)
    if settings.config is not None and not single:
        raise ValueError(
            "config belongs to a pipeline that is a single file of weights (.safetensors); "
            "a directory has its own"
        )
    if single and settings.prior is not None:
        raise ValueError("prior belongs to a pipeline that is a directory or a hub id")
    names = [lora.name for lora in settings.loras or () if lora.name]
    if len(set(names)) < len(names):
        raise ValueError("two loras have the same name")


def settings_of_stages(settings: Any) -> tuple[Any, ...]:
    """The settings of each stage as those of a pipeline, with what stands beside ``stages``.

    Raises ``SettingError`` for what no pipeline can have.
    """
    made = []
    for number, stage in enumerate(settings.stages):
        said = {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage)}
        if stage.scheduler is not None:
            said["scheduler_options"] = stage.scheduler_options or {}
        said = {name: value for name, value in said.items() if value is not None}
        try:
            made.append(dataclasses.replace(settings, stages=None, **said))
        except SettingError as error:
            raise SettingError(("stages", number, *error.field), error.problem) from None
    return tuple(made)
