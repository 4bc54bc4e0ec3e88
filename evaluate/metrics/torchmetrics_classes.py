"""The image metrics of torchmetrics: which there are, what each takes, how it wants its images."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from gandiff.common.errors import MetricError
from gandiff.common.hub_cache import cached_files
from gandiff.common.names import did_you_mean
from gandiff.evaluate.result import Value

_BESIDES = "CLIPImageQualityAssessment"  # lives with the multimodal ones and takes images alone
_ELSEWHERE = {  # names that people will try, and what to write
    "CLIPScore": "use clip_score(model=ViT-L-14/openai), which keeps the end of long prompts",
    "PerceptualPathLength": "it takes a generator, not images",
}
# Read weights when they are built; the others are built at once, so that a wrong value shows early.
_INCEPTION = ("weights-inception-2015-12-05-*.pth",)
_WEIGHTS = {  # what they read from torch's cache
    "FrechetInceptionDistance": _INCEPTION,
    "KernelInceptionDistance": _INCEPTION,
    "InceptionScore": _INCEPTION,
    "MemorizationInformedFrechetInceptionDistance": _INCEPTION,
    "LearnedPerceptualImagePatchSimilarity": ("alexnet-*", "vgg16-*", "squeezenet1_1-*"),
    "DeepImageStructureAndTextureSimilarity": ("vgg16-*",),
    "ARNIQA": ("ARNIQA*.pth", "regressor_*.pth", "resnet50-*"),
    _BESIDES: ("*clip*",),
}
_PROCESSOR = "openai/clip-vit-base-patch16"  # whose tokenizer CLIP-IQA takes with other weights
_LOADS = ("DeepImageStructureAndTextureSimilarity",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Use:
    """How a class is fed: ``sets`` of images against real ones, images ``alone``, or in ``pairs``.

    Pixels become numbers from ``low`` to ``high``, or stay uint8 where there are none. ``whole``
    marks values that depend on how many images there are.
    """

    kind: Literal["sets", "alone", "pairs"]
    low: float | None = None
    high: float | None = None
    whole: bool = False

    def __str__(self) -> str:
        """The range of the pixels, for the protocol."""
        return "uint8" if self.high is None else f"{self.low:g} to {self.high:g}"


def find_class(name: str) -> type[Any]:
    """The class of this name; raises ``MetricError`` with the nearest one."""
    try:
        import torchmetrics.image
        import torchmetrics.multimodal
    except ImportError as error:
        raise MetricError(f"torchmetrics cannot be imported: {error}") from error
    if name in _ELSEWHERE:
        raise MetricError(f"torchmetrics:{name} cannot be used here: {_ELSEWHERE[name]}")
    known = [known for known in torchmetrics.image.__all__ if known not in _ELSEWHERE]
    if hasattr(torchmetrics.multimodal, _BESIDES):
        known.append(_BESIDES)
    if name not in known:
        raise MetricError(f"torchmetrics has no image metric {name!r}{did_you_mean(name, known)}")
    module = torchmetrics.multimodal if name == _BESIDES else torchmetrics.image
    found: type[Any] = getattr(module, name)
    return found


def bind_parameters(found: type[Any], given: Mapping[str, Value]) -> dict[str, Any]:
    """The parameters as the class takes them: one value stands for a pair of equal ones.

    Raises ``MetricError`` for an unknown or missing one, and for a wrong value where no weights
    must be read to find out.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(found).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    for name in given:
        if name not in parameters:
            raise MetricError(
                f"torchmetrics' {found.__name__} has no parameter {name!r}. "
                + did_you_mean(name, parameters)
            )
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in given]
    if missing:
        raise MetricError(f"torchmetrics' {found.__name__} needs the parameter {missing[0]!r}")
    bound = {
        name: (value,) * len(parameters[name].default)
        if isinstance(parameters[name].default, tuple)
        else value
        for name, value in given.items()
    }
    if not hasattr(found, "feature_network") and found.__name__ not in _LOADS:
        with one_line(found.__name__, "cannot be built"):
            found(**bound)
    return bound


def use_of(found: type[Any], bound: Mapping[str, Any]) -> Use:
    """How the class is fed, from the arguments of its ``update``."""
    arguments = inspect.signature(found.update).parameters
    names = tuple(arguments)[1:]
    # The owners' "normalize" is true where images come as 0 to 1.
    scaled = bound.get("normalize") is True
    top = bound.get("data_range")
    high = float(top) if isinstance(top, (int, float)) and top > 0 else 1.0
    if names == ("imgs", "real"):
        return Use(kind="sets", whole=True, **(_UNIT if scaled else {}))
    if names == ("imgs",):  # Inception score: its splits depend on the number of images
        return Use(kind="alone", whole=True, **(_UNIT if scaled else {}))
    if names == ("img1", "img2"):
        return Use(kind="pairs", low=0.0 if scaled else -1.0, high=1.0)
    if names == ("preds", "target") and "dict" not in str(arguments["target"].annotation):
        return Use(kind="pairs", low=0.0, high=high)
    if len(names) == 1:
        return Use(kind="alone", low=0.0, high=high)
    raise MetricError(
        f"torchmetrics:{found.__name__} cannot be used here: it takes ({', '.join(names)}) in a "
        "form that images do not have"
    )


def weights_of(found: type[Any], bound: Mapping[str, Any]) -> list[Path]:
    """The files in the caches of torch and of the hub from which a class reads its networks, as
    far as they are there, sorted.
    """
    files: list[Path] = []
    if patterns := _WEIGHTS.get(found.__name__):
        import torch

        cache = Path(torch.hub.get_dir()) / "checkpoints"
        files += [file for pattern in patterns for file in cache.glob(pattern)]
    if found.__name__ == _BESIDES:
        model = str(bound.get("model_name_or_path", ""))
        files += [file for repo in (model, _PROCESSOR) for file in cached_files(repo)]
    return sorted(set(files))


@contextlib.contextmanager
def one_line(name: str, what: str) -> Iterator[None]:
    """Whatever torchmetrics raises as a ``MetricError`` of one line; its warnings are dropped."""
    from gandiff.evaluate.extractors.torch_inference import brief

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MetricError, MemoryError):
        raise
    except Exception as error:  # a tree of its own and that of every library below
        if type(error).__name__ == "OutOfMemoryError":
            raise  # the machine's fault, not the metric's
        raise MetricError(
            f"torchmetrics' {name} {what}: {type(error).__name__}: {brief(error)}"
        ) from error


_UNIT = {"low": 0.0, "high": 1.0}
