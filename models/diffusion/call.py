"""One call of a pipeline: its arguments, what is put in place for it, what its images must say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.images import BETWEEN
from gandiff.models.diffusion.native import is_on
from gandiff.models.diffusion.operation import STAGE_SCALES, TEXT, Operation
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.signatures import call_defaults
from gandiff.models.generator import GenerationRequest


def arguments(
    pipe: Any,
    operation: Operation,
    settings: DiffusersSettings,
    requests: Sequence[GenerationRequest],
) -> dict[str, Any]:
    """Build the call for one batch; what was not set is not sent, unless the pipeline was made for
    something else than its defaults.
    """
    import torch

    contract: dict[str, Any] = {
        "prompt": [request.prompt for request in requests],
        "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        "output_type": "np",
    }
    negative = requests[0].negative_prompt or operation.negative_prompt
    if negative:
        contract["negative_prompt"] = [r.negative_prompt or negative for r in requests]
    taken = call_defaults(type(pipe))
    call = {key: value for key, value in contract.items() if key in taken}
    if operation.one_a_call:  # some take a text and a generator, and no list with one
        call |= {key: value[0] for key, value in call.items() if isinstance(value, list)}
    if settings.height is not None:
        call |= {"height": settings.height, "width": settings.width}
    extra = dict(settings.extra)
    if settings.controlnet is not None:  # some arguments are those of its calls alone
        extra = {key: value for key, value in extra.items() if key in taken}
    return {**call, **operation.arguments, **_repeated(extra, len(requests))}


def max_sequence_length(pipe: Any, call: Mapping[str, Any]) -> int | None:
    """Return how much text a call lets through, in tokens, None if the pipeline has no such limit
    among its arguments.
    """
    length = {**call_defaults(type(pipe)), **call}.get("max_sequence_length")
    return length if isinstance(length, int) else None


@contextlib.contextmanager
def guiding(pipe: Any, operation: Operation) -> Iterator[None]:
    """Give the guider components of a pipeline the chosen scale, for as long as this is entered."""
    if operation.guider is None:
        yield
        return
    names = [name for name in ("guider", "ocr_guider") if getattr(pipe, name, None) is not None]
    before = {name: getattr(pipe, name) for name in names}
    try:
        for name, guider in before.items():
            setattr(pipe, name, guider.new(guidance_scale=operation.guider))
        yield
    finally:
        for name, guider in before.items():
            setattr(pipe, name, guider)


def note(
    pipe: Any, operation: Operation, settings: DiffusersSettings, request: GenerationRequest
) -> str | None:
    """What was asked for and had no effect on the image, after the call; None if nothing was."""
    said = (
        _unused_negative(pipe, operation, settings, request),
        _unused_control(settings, request),
    )
    return BETWEEN.join(filter(None, said)) or None


def _unused_control(settings: DiffusersSettings, request: GenerationRequest) -> str | None:
    if settings.controlnet is None or request.task == "control":
        return None
    return f"ControlNet not used: the task is {request.task}, and it acts in control alone"


def _unused_negative(
    pipe: Any, operation: Operation, settings: DiffusersSettings, request: GenerationRequest
) -> str | None:
    if not request.negative_prompt:
        return None
    name = operation.class_name
    if "negative_prompt" not in call_defaults(type(pipe)):
        return f"negative prompt not used: {name} takes none"
    if _reads_negative(pipe, operation, settings):
        return None
    if operation.meaning == "embedded":
        more = "; true_cfg_scale (in extra) above 1 would use it"
        own_scale = more if "true_cfg_scale" in call_defaults(type(pipe)) else ""
        return f"negative prompt not used: this {name} has its guidance built in{own_scale}"
    if operation.meaning == "ignored":
        return f"negative prompt not used: this {name} was distilled without guidance"
    value = operation.guidance.value
    scale = "guidance is off" if value is None else f"guidance_scale is {value:g}"
    return f"negative prompt not used: {scale}"


def _reads_negative(pipe: Any, operation: Operation, settings: DiffusersSettings) -> bool:
    """Whether the call that was made guided away from its negative prompt."""
    true_scale = settings.extra.get("true_cfg_scale")
    if operation.meaning != "true_cfg" and true_scale is not None:
        return bool(is_on("true_cfg", true_scale))
    if operation.meaning in ("embedded", "ignored"):
        return False
    if operation.meaning in ("stages", "guider"):
        return _stages_guide(operation, settings)
    with contextlib.suppress(AttributeError, TypeError):  # read back where the pipeline keeps it
        return bool(pipe.do_classifier_free_guidance)
    return operation.guides or _stages_guide(operation, settings)


def _stages_guide(operation: Operation, settings: DiffusersSettings) -> bool:
    """Whether any stage guides: a stage of its own scale, set in ``extra`` or by default."""
    scales = {**operation.stages, **settings.extra}
    named = [v for k, v in scales.items() if k in STAGE_SCALES]
    return operation.guides or any(is_on("cfg", v) for v in named if isinstance(v, (int, float)))


def _repeated(extra: Mapping[str, Any], count: int) -> dict[str, Any]:
    """``extra`` for a batch: a text beside the prompt is that of every image."""
    repeated = dict(extra)
    for key, value in extra.items():
        if TEXT.fullmatch(key) and isinstance(value, (str, list)):
            repeated[key] = [value] * count if isinstance(value, str) else value * count
    return repeated
