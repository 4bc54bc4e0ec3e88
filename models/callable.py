"""A plain Python function ``(prompts, seeds) -> images`` as a Generator; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from gandiff.common.errors import GeneratorError
from gandiff.common.images import to_rgb
from gandiff.common.words import counted, with_article
from gandiff.models.generator import (
    Cost,
    Family,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
)
from gandiff.models.pixels import finish, to_uint8
from gandiff.models.tasks import from_text_alone

# Floats may leave their range by half a level of 255 before that is called a mistake.
_TOLERANCE = 0.5 / 255
_FIELDS = {field.name for field in dataclasses.fields(GeneratorInfo)} - {"name", "abilities"}


class CallableGenerator(Generator):
    """Wraps a function of two lists, the prompts and the seeds, that returns one image for each.

    What it may return, for n prompts:

    * a list of n PIL images (any mode; they become RGB, what is transparent white);
    * a list of n arrays or tensors, or one array or tensor with n as its first axis. NumPy arrays
      have the channels last, (h, w, 3); torch tensors have them first, (3, h, w), as each library
      does. One channel is grey;
    * values: uint8 from 0 to 255, or floats from 0 to 1. For floats of another range set the
      function's attribute ``value_range``, such as ``(-1, 1)``. The range is never guessed from the
      values, since then one image could change its neighbours. Floats are rounded to uint8.

    Facts for the report are taken from attributes of the function that are named as the fields of
    ``GeneratorInfo`` (``family``, ``resolution``, ``parameters``, ``licence``, ...). Its calls are
    taken to cost something (``cost`` is ``request``), since nothing says what it does; with
    ``function.cost = "compute"`` it is timed like a model. If the function has a parameter
    ``negative_prompts``, it gets them as a list of texts or None.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Check that ``function`` takes prompts and seeds; raises ``GeneratorError`` if not."""
        if not callable(function):
            raise GeneratorError(
                f"{name} is {with_article(type(function).__name__)}, expected a function"
            )
        self._name = name
        self._function = function
        self._takes_negative = _check_signature(name, function)
        self._low, self._high = _value_range(name, function)
        self._info = _info(name, function)

    @property
    def function(self) -> Callable[..., Any]:
        """The function that makes the images."""
        return self._function

    @property
    def info(self) -> GeneratorInfo:
        """Facts that the function carries as attributes."""
        return self._info

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Do nothing: a function brings its weights along."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Call the function once for all requests of text alone; what it raises is passed on.

        Raises ``GeneratorError`` if it does not return one image per prompt or returns something
        else than images; an image with bad values is a failed generation.
        """
        return from_text_alone(requests, self._made)

    def _made(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        negative = [request.negative_prompt for request in requests]
        images = self._function(
            [request.prompt for request in requests],
            [request.seed for request in requests],
            **({"negative_prompts": negative} if self._takes_negative else {}),
        )
        singles = _split(images, self._name)
        if len(singles) != len(requests):
            raise GeneratorError(
                f"{self._name} returned {counted(len(singles), 'image')} for "
                f"{counted(len(requests), 'prompt')}, "
                "expected one each"
            )
        return [self._finish(r, image) for r, image in zip(requests, singles, strict=True)]

    def _finish(self, request: GenerationRequest, image: Any) -> Generation:
        pixels = _pixels(image, self._name)
        if pixels.dtype != np.uint8:
            reason = self._range_fault(pixels)
            if reason is not None:
                return Generation(image=None, status="failed", reason=reason)
            if np.isfinite(pixels).all():
                pixels = to_uint8(pixels, self._low, self._high)
        unused = request.negative_prompt and not self._takes_negative
        note = "negative prompt not used: the function has no parameter negative_prompts"
        return finish(pixels, note=note if unused else None)

    def _range_fault(self, pixels: npt.NDArray[Any]) -> str | None:
        finite = pixels[np.isfinite(pixels)]
        slack = _TOLERANCE * (self._high - self._low)
        if not ((finite < self._low - slack) | (finite > self._high + slack)).any():
            return None
        return (
            f"values from {finite.min():.3g} to {finite.max():.3g}, expected uint8 or floats "
            f"from {self._low:g} to {self._high:g} (set value_range on the function to change that)"
        )


def _check_signature(name: str, function: Callable[..., Any]) -> bool:
    """Say whether the function takes negative prompts; refuse one that does not take two lists."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # written in C without a signature: calling it will tell
    takes_negative = "negative_prompts" in signature.parameters
    given: dict[str, list[str]] = {"negative_prompts": []} if takes_negative else {}
    try:
        signature.bind([], [], **given)
    except TypeError as error:
        raise GeneratorError(
            f"{name} has the parameters {signature}, expected a function (prompts, seeds) -> images"
        ) from error
    return takes_negative


def _value_range(name: str, function: Callable[..., Any]) -> tuple[float, float]:
    given = getattr(function, "value_range", (0.0, 1.0))
    try:
        low, high = (float(value) for value in given)
    except (TypeError, ValueError) as error:
        raise GeneratorError(f"{name}: value_range is {given!r}, expected two numbers") from error
    if not low < high:
        raise GeneratorError(f"{name}: value_range is {given!r}, expected the lower number first")
    return low, high


def _info(name: str, function: Callable[..., Any]) -> GeneratorInfo:
    attributes = {field: getattr(function, field, None) for field in sorted(_FIELDS)}
    facts = {field: value for field, value in attributes.items() if value is not None}
    facts = {"family": "other", "cost": "request", **facts}
    for field, choices in (("family", get_args(Family)), ("cost", get_args(Cost))):
        if facts[field] not in choices:
            raise GeneratorError(
                f"{name}: {field} is {facts[field]!r}, expected one of {', '.join(choices)}"
            )
    if not isinstance(facts.get("settings", {}), Mapping):
        del facts["settings"]
    return GeneratorInfo(name=name, **facts)


def _split(images: Any, name: str) -> list[Any]:
    """Take what a function returned apart into single images."""
    if isinstance(images, (list, tuple)):
        return list(images)
    if isinstance(images, np.ndarray) or _is_tensor(images):
        if images.ndim != 4:
            axes = "(n, 3, h, w)" if _is_tensor(images) else "(n, h, w, 3)"
            raise GeneratorError(
                f"{name} returned an array of shape {tuple(images.shape)}, expected {axes}"
            )
        return list(images)
    raise GeneratorError(
        f"{name} returned {type(images).__name__}, expected a list of images, an array or a tensor"
    )


def _pixels(image: Any, name: str) -> npt.NDArray[Any]:
    """Turn one image of any accepted kind into (h, w, 3), uint8 or float32."""
    if hasattr(image, "convert"):  # PIL
        try:
            return np.asarray(to_rgb(image))
        except ValueError as error:
            raise GeneratorError(
                f"{name} returned an image that cannot be used: {error}"
            ) from error
    if _is_tensor(image):
        wanted = "(3, h, w): torch tensors have the channels first"
        tensor = image.detach().cpu()
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        channels = array.shape[0] if array.ndim == 3 else 0
        array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    elif isinstance(image, np.ndarray):
        wanted = "(h, w, 3): NumPy arrays have the channels last"
        array, channels = image, image.shape[2] if image.ndim == 3 else 0
    else:
        raise GeneratorError(
            f"{name} returned {with_article(type(image).__name__)} among its images"
        )
    if channels not in (1, 3):
        raise GeneratorError(
            f"{name} returned an image of shape {tuple(image.shape)}, expected {wanted}"
        )
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise GeneratorError(f"{name} returned values of {array.dtype}, expected uint8 or floats")
    array = array if array.dtype == np.uint8 else array.astype(np.float32)
    return np.repeat(array, 3, axis=2) if channels == 1 else array


def _is_tensor(value: Any) -> bool:
    """Recognise a torch tensor without importing torch, which a function need not use."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
