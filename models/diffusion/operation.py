"""What a pipeline is called with: settings, else what it was made for, else what it does by itself.

All of it is known without the weights, because plans and keys of images go by it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gandiff.common.errors import GeneratorError
from gandiff.common.words import counted
from gandiff.models.diffusion.class_source import OPAQUE
from gandiff.models.diffusion.evidence import Evidence
from gandiff.models.diffusion.families import ONE_A_CALL, REWRITING, Guidance
from gandiff.models.diffusion.guidance import (
    GUIDER,
    SCALE,
    STEPS,
    Chosen,
    choose_guidance,
    guider_scale,
    not_taken,
    number,
    scale_name,
)
from gandiff.models.diffusion.native import (
    Native,
    default,
    is_on,
    native_point,
    off_native,
    off_size,
    own_levels,
    own_steps,
)
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.size import Size, own_sizes

STAGE_SCALES = ("prior_guidance_scale", "decoder_guidance_scale")
# Texts for further text encoders: diffusers wants as many of them as there are prompts.
TEXT = re.compile(r"(negative_)?prompt_\d+")
# What Qwen-Image takes for no negative prompt; without any it does not guide at all.
_NOTHING = " "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """How a pipeline is run.

    ``arguments`` are given to its call besides prompts, noise and ``extra``. ``guider`` is the
    scale that its guider component gets for the call. ``rewriting`` are the arguments of the call
    that have prompts rewritten, as they are.
    """

    class_name: str
    meaning: Guidance
    native: Native
    steps: Chosen
    guidance: Chosen
    arguments: Mapping[str, Any]
    guider: float | None = None
    negative_prompt: str | None = None  # in place of none
    rewriting: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stages: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # scales of their own
    size: tuple[int | None, int | None] = (None, None)  # height and width that were set, in px
    said: str | None = None  # of the files of the pipeline
    unused: tuple[str, ...] = ()  # settings without an effect, each with the reason
    own_sizes: tuple[Size, ...] = ()  # that it was made for, first the default of its call
    size_unjudged: bool = False  # whether one was set and its own is not known

    @property
    def guides(self) -> bool:
        """Whether the scale has an effect, as far as is known without the weights."""
        value = self.guidance.value
        return self.meaning != "ignored" and value is not None and is_on(self.meaning, value)

    @property
    def one_a_call(self) -> str | None:
        """Why several images cannot be made in one call, as far as that is known of the class."""
        return ONE_A_CALL.get(self.class_name)

    @property
    def point(self) -> dict[str, Any]:
        """All that decides the pixels besides the other settings."""
        return {STEPS: self.steps.value, SCALE: self.guidance.value, **self.unusual}

    @property
    def unusual(self) -> dict[str, Any]:
        """What else than steps and a scale by these names decides the pixels, besides settings."""
        named = {k: v for k, v in self.arguments.items() if k not in (STEPS, SCALE)}
        if self.guider is not None:
            named["guider.guidance_scale"] = self.guider
        if self.negative_prompt is not None:
            named["negative_prompt"] = self.negative_prompt
        return named

    @property
    def off_native(self) -> tuple[str, ...]:
        """Which settings are far from what it was made for."""
        point = self.steps.value, self.guidance.value
        size = off_size(self.size, self.own_sizes)
        return (*self.unused, *off_native(self.native, self.meaning, *point), *size)

    @property
    def resolution(self) -> int | None:
        """The side in px of the square images to come, None if unknown or not square."""
        height, width = self.size
        if None in self.size and self.own_sizes:
            height, width = self.own_sizes[0]
        return height if height == width else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the reader of a run should know of how it is run."""
        native, lines = self.native, list[str]()
        if off := self.off_native:
            lines.append(f"runs off its native point: {'; '.join(off)}")
        unset = [
            k
            for k, v in ((STEPS, self.steps), (SCALE, self.guidance))
            if v.value is not None and v.source not in ("set", "extra")
        ]
        if native.unknown and unset:
            lines.append(
                f"its native steps and guidance are not known ({native.unknown}); it runs with the "
                f"{' and '.join(unset)} of the call of {self.class_name}; the comparison file can "
                "say them: "
                "native: {num_inference_steps: ..., guidance_scale: ...}"
            )
        if self.said is not None:
            lines.append(self.said)
        if self.size_unjudged:
            lines.append(
                f"the size that this {self.class_name} was made for is not known, so whether "
                f"{self.size[1]}x{self.size[0]} px suits it is not judged"
            )
        if self.one_a_call:
            lines.append(f"each image is made in a call of its own: the class {self.one_a_call}")
        rewriting = [name for name, value in self.rewriting.items() if value]
        if rewriting:
            lines.append(f"its prompts are rewritten before they are read ({rewriting[0]})")
        return tuple(lines)

    def facts(self) -> dict[str, Any]:
        """What ``GeneratorInfo.settings`` says of it, as plain data."""
        native = dataclasses.asdict(self.native)
        return {
            STEPS: self.steps.value,
            SCALE: self.guidance.value,
            "resolved": {
                STEPS: self.steps.source,
                SCALE: self.guidance.source,
                "guidance": self.meaning,
                "native": {k: v for k, v in native.items() if v is not None},
                "sent": self.unusual,
                "rewriting": dict(self.rewriting),
            },
        }


def resolve(settings: DiffusersSettings, seen: Evidence, taken: Mapping[str, Any]) -> Operation:
    """Decide what a pipeline is called with; ``taken`` are the arguments of its call with their
    defaults.

    Raises ``GeneratorError`` for a setting that it does not take, and for two that do not go
    together.
    """
    meaning = seen.guidance
    name = scale_name(seen, taken)
    own_scale = guider_scale(seen) if name == GUIDER else number(default(taken, name))
    native = native_point(settings, seen, own_steps(seen, taken), own_scale)
    sent: dict[str, Any] = {}
    steps = _steps(settings, seen, taken, native, sent)
    guidance = choose_guidance(settings, seen, taken, native, (name, own_scale), sent)
    guider = sent.pop(GUIDER, None)
    needs_negative = meaning == "true_cfg" and is_on(meaning, guidance.value or 0)
    _set_size(settings, seen, taken, sent)
    _check_texts(settings)
    own = own_sizes(seen, taken)
    return Operation(
        class_name=seen.class_name,
        meaning=meaning,
        native=native,
        steps=steps,
        guidance=guidance,
        arguments=sent,
        guider=guider,
        negative_prompt=_NOTHING if needs_negative else None,
        size=(settings.height, settings.width),
        said=seen.card_problem,
        unused=_unused(settings, steps),
        own_sizes=own,
        size_unjudged=bool(taken) and settings.height is not None and not own,
        rewriting=_rewriting(settings, taken, sent),
        stages={k: v for k, v in taken.items() if k in STAGE_SCALES and v is not OPAQUE},
    )


def _steps(
    settings: DiffusersSettings,
    seen: Evidence,
    taken: Mapping[str, Any],
    native: Native,
    sent: dict[str, Any],
) -> Chosen:
    schedule = _schedule(settings, seen, taken)
    if taken and STEPS not in taken:
        if settings.num_inference_steps is not None:
            raise not_taken(STEPS, seen, taken)
        return Chosen(None, "signature")
    chosen = Chosen(settings.num_inference_steps, "set")
    if (listed := _own_times(settings)) is not None:  # which go before any number of steps
        return Chosen(listed, "extra")
    if chosen.value is None:
        own_point = Chosen(native.steps, native.source)
        chosen = own_point if schedule is None else Chosen(len(schedule), "extra")
    own = own_steps(seen, taken)
    if own_levels(seen) and chosen.value != own:
        raise GeneratorError(
            f"this {seen.class_name} has a list of {own} noise levels (sample_sigmas), one for "
            f"each step, and num_inference_steps is {chosen.value}; leave it out, or give "
            "extra.sigmas"
        )
    if chosen.source == "set" or chosen.value != own:
        sent[STEPS] = chosen.value
        return chosen
    return Chosen(own, "config" if own_levels(seen) else "signature")


def _own_times(settings: DiffusersSettings) -> int | None:
    """How many steps the timesteps or sigmas in ``extra`` make; None if there are none."""
    times = [settings.extra.get(name) for name in ("timesteps", "sigmas")]
    return next((len(one) for one in times if isinstance(one, list)), None)


def _schedule(
    settings: DiffusersSettings, seen: Evidence, taken: Mapping[str, Any]
) -> Sequence[float] | None:
    """The scales that were given for each step; raises where they do not fit the steps."""
    if seen.guidance != "schedule":
        return None
    given, steps = settings.extra.get("guidance_schedule"), settings.num_inference_steps
    if given is not None and settings.guidance_scale is not None:
        raise GeneratorError("give guidance_scale or guidance_schedule (in extra), not both")
    own = default(taken, STEPS)
    if given is None and settings.guidance_scale is None and steps not in (None, own):
        raise GeneratorError(
            f"{seen.class_name} has a guidance_schedule of {own} scales, one for each step; with "
            f"num_inference_steps {steps} give extra.guidance_schedule with as many, or "
            "guidance_scale"
        )
    if isinstance(given, list) and steps not in (None, len(given)):
        raise GeneratorError(
            "extra.guidance_schedule must have a scale for each of "
            f"{counted(steps, 'step')}, got {len(given)}"
        )
    return given if isinstance(given, list) else None


def _unused(settings: DiffusersSettings, steps: Chosen) -> tuple[str, ...]:
    if (asked := settings.num_inference_steps) in (None, steps.value):
        return ()
    return (f"num_inference_steps {asked} has no effect, extra makes {steps.value}",)


def _rewriting(
    settings: DiffusersSettings, taken: Mapping[str, Any], sent: dict[str, Any]
) -> dict[str, Any]:
    """Leave prompts as they are unless ``extra`` says otherwise; what is said here is what runs."""
    rewriting = {}
    for name, off in REWRITING.items():
        if name in taken:
            if name not in settings.extra and taken[name] != off:
                sent[name] = off
            rewriting[name] = settings.extra.get(name, off)
    return rewriting


def _set_size(
    settings: DiffusersSettings, seen: Evidence, taken: Mapping[str, Any], sent: dict[str, Any]
) -> None:
    """Check that a size can be set; FLUX.1 Kontext draws it at that of ``max_area``."""
    if settings.height is None or settings.width is None or not taken:
        return
    if not {"height", "width"} <= taken.keys():
        raise not_taken("height", seen, taken)
    if "max_area" in taken and "max_area" not in settings.extra:
        sent["max_area"] = settings.height * settings.width


def _check_texts(settings: DiffusersSettings) -> None:
    """A list of texts would belong to places in a batch, not to prompts."""
    for key, value in settings.extra.items():
        if TEXT.fullmatch(key) and isinstance(value, list) and len(value) != 1:
            raise GeneratorError(
                f"extra.{key} must be one text, which is that of every image, got {len(value)}"
            )
