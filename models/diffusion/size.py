"""The size of the images that a pipeline makes by itself, from its small files and its class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gandiff.models.diffusion.class_source import OPAQUE
from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.evidence import Evidence

Size = tuple[int, int]  # height and width in px
# What model cards say, where the default of the call is another.
_BY_CLASS: Mapping[str, int] = {
    "KandinskyCombinedPipeline": 768,
    "KandinskyV22CombinedPipeline": 768,
    "StableCascadeCombinedPipeline": 1024,
    "WuerstchenCombinedPipeline": 1024,
}


def own_sizes(seen: Evidence, taken: Mapping[str, Any]) -> tuple[Size, ...]:
    """Return each (height, width) in px that a pipeline was made for, first the one that it makes
    where none is given; nothing if its call takes no size, and where it cannot be known.

    ``taken`` are the arguments of its call with their defaults. What its class computes from the
    configurations of its parts is computed as its source says.
    """
    if "height" not in taken:
        return ()
    known = pipeline_class(seen.class_name)
    pipe = _Unbuilt(seen, {} if known is None else known.assigned)
    computed = [_evaluated(text, pipe) for text in (known.heights if known is not None else ())]
    sizes = [(taken["height"], taken.get("width")), *((side, side) for side in computed)]
    scale, sample = _evaluated("self.vae_scale_factor", pipe), seen.denoiser.get("sample_size")
    if isinstance(scale, int) and sample is not None and not any(map(_is_number, computed)):
        height, width = sample if isinstance(sample, list) else [sample, sample]
        sizes.append((height * scale, width * scale))
    if (side := _BY_CLASS.get(seen.class_name)) is not None:
        sizes.append((side, side))
    return tuple(dict.fromkeys(size for size in sizes if all(map(_is_number, size))))


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


class _Unknown(Exception):
    """A file that would say it is not here."""


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of a pipeline of which the configuration is known; that is empty where it is not."""

    settings: Mapping[str, Any]

    @property
    def config(self) -> _Part:
        return self

    def __getattr__(self, name: str) -> Any:
        if not self.settings:
            raise _Unknown
        try:
            return self.settings[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclasses.dataclass(frozen=True)
class _Unbuilt:
    """What the source of a pipeline's class means by ``self`` where it computes a size."""

    seen: Evidence
    assigned: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        if _is_part(self.seen.config.get(name)):  # of which there may be no file
            known = {"unet": self.seen.denoiser, "transformer": self.seen.denoiser}
            return _Part({**known, "vae": self.seen.vae, "vqvae": self.seen.vae}.get(name, {}))
        if name not in self.assigned:
            raise AttributeError(name)
        value = _evaluated(self.assigned[name], self)
        if value is OPAQUE:
            raise _Unknown
        return value


def _is_part(entry: Any) -> bool:
    """Whether an entry of a pipeline's index is a part: a pair of a library and a class."""
    pair = isinstance(entry, (list, tuple)) and len(entry) == 2
    return pair and all(name is None or isinstance(name, str) for name in entry)


def _evaluated(expression: str, pipe: _Unbuilt) -> Any:
    """The value of an expression of diffusers' source; ``OPAQUE`` where that cannot be known."""
    try:
        return eval(expression, {"self": pipe})
    except (_Unknown, AttributeError, NameError, TypeError, ValueError, RecursionError):
        return OPAQUE
