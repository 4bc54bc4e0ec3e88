"""The steps and the guidance that a pipeline was made for, as the front matter of a model card.

They stand where the hub's own widget reads them: ``inference: {parameters: {...}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le

from gandiff.common.errors import SettingError
from gandiff.common.validation import settings_class, validate

KEY = "inference"


@settings_class
class StatedPoint:
    """What a card says that a pipeline was made for; None is what it leaves out."""

    num_inference_steps: Annotated[int, Ge(1), Le(10_000)] | None = None
    guidance_scale: Annotated[float, Ge(0), Le(1_000)] | None = None


def native_front_matter(steps: int, guidance: float) -> str:
    """Lines for the front matter of a model card, which ``stated_point`` reads back.

    ``guidance`` is 0 for none. Raises ``SettingError`` for numbers that no pipeline can have.
    """
    point = StatedPoint(num_inference_steps=steps, guidance_scale=guidance)
    return (
        f"{KEY}:\n  parameters:\n    num_inference_steps: {point.num_inference_steps}\n"
        f"    guidance_scale: {point.guidance_scale}\n"
    )


def stated_point(front: Mapping[str, Any]) -> tuple[StatedPoint, str | None]:
    """What the front matter of a card says, and what is wrong with it, in a sentence.

    A card that says anything wrong counts as one that says nothing.
    """
    stated = front.get(KEY)
    parameters = stated.get("parameters", stated) if isinstance(stated, Mapping) else None
    if not isinstance(parameters, Mapping):
        return StatedPoint(), None  # the hub also takes true and false
    known = {k: v for k, v in parameters.items() if k in StatedPoint.__dataclass_fields__}
    try:
        return validate(StatedPoint, known), None
    except (SettingError, TypeError) as error:  # TypeError: a date, which YAML knows and JSON not
        return StatedPoint(), f"its model card is not followed: {KEY}.{error}"
