"""The stages of a cascade as one generator: each takes the image of the one before (DeepFloyd IF).

Imagen's design (Saharia et al. 2022): a small image from the features of the text, then networks
that enlarge it, with noise added to what they are given.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.diffusion.source_settings import settings_of_stages
from gandiff.models.diffusion.sources import find_source
from gandiff.models.generator import GenerationRequest, Generator, GeneratorInfo
from gandiff.models.shared import Shared, shared
from gandiff.models.weights import ModelCard, read_card

_TEXTS = ("prompt", "negative_prompt")
_FEATURES = ("prompt_embeds", "negative_prompt_embeds")


def open_generator(name: str, settings: DiffusersSettings) -> Generator:
    """The generator of a pipeline or of the stages of a cascade."""
    kind = DiffusersGenerator if settings.stages is None else CascadeGenerator
    return kind(name, settings)


class Cascade:
    """Pipelines that are called one after the other; those of IF share the features of the text."""

    def __init__(self, stages: Sequence[Any]) -> None:
        self.stages = list(stages)
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            processor = getattr(after, "image_processor", None)
            if _is_if(before) and processor is not None:
                # It would take an image without negative values for one that goes from 0 to 1.
                processor.register_to_config(do_normalize=False)

    def __call__(self, calls: Sequence[Mapping[str, Any]]) -> Any:
        """Call each stage; the output is that of the last."""
        from gandiff.models.diffusion.loading import images_of

        features: dict[str, Any] = {}
        output: Any = None
        for pipe, given in zip(self.stages, calls, strict=True):
            call = dict(given)
            if _is_if(pipe):
                texts = {name: call.pop(name) for name in _TEXTS if name in call}
                if not features:
                    clean = {k: v for k, v in call.items() if k == "clean_caption"}
                    encoded = pipe.encode_prompt(**texts, **clean)
                    features = dict(zip(_FEATURES, encoded, strict=True))
                call |= features
            if output is not None:
                call["image"] = images_of(output)
            output = pipe(**call)
        return output


class CascadeGenerator(DiffusersGenerator):
    """The stages of a cascade behind the contract of a generator.

    The noise of every stage comes from the generator of its image, one stage after the other.
    """

    def __init__(self, name: str, settings: DiffusersSettings) -> None:
        """Check every stage as a pipeline is checked; see ``DiffusersGenerator``."""
        self._name = name
        self._settings = settings
        self._shared: Shared[Any] | None = None
        self._solver = None
        self.one_by_one = False
        self._source = find_source(settings)
        each = zip(settings_of_stages(settings), self._source.stages, strict=True)
        self._stages = [
            DiffusersGenerator(f"stage {number} of {name}", own, source)
            for number, (own, source) in enumerate(each, 1)
        ]
        self._operation = self._stages[0]._operation
        directory = self._source.stages[0].directory
        self._card = ModelCard() if directory is None else read_card(directory)

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the first stage, with the parameters of all and the size of the last."""
        first, *_, last = infos = [stage.info for stage in self._stages]
        counts = [info.parameters for info in infos]
        stages = [dict(info.settings) for info in infos]
        classes = [str(one.get("pipeline_class", "")) for one in stages]
        return dataclasses.replace(
            first,
            name=self._name,
            abilities=first.abilities & {"text_to_image", "trace"},
            resolution=last.resolution,
            parameters=None if None in counts else sum(c for c in counts if c is not None),
            weights_sha256=self._source.checksum(),
            settings={
                **dataclasses.asdict(self._settings),
                "stages": stages,
                "pipeline_class": " + ".join(classes) if all(classes) else None,
            },
            off_native=tuple(
                f"stage {number}: {off}"
                for number, info in enumerate(infos, 1)
                for off in info.off_native
            ),
            remarks=(
                *self._remarks,
                *(
                    f"stage {number}: {remark}"
                    for number, info in enumerate(infos, 1)
                    for remark in info.remarks
                ),
            ),
        )

    def sharing_key(self, device: str, dtype: str) -> Hashable:
        """What decides the pipelines that are loaded; see ``Generator.sharing_key``."""
        return ("cascade", *(stage.sharing_key(device, dtype) for stage in self._stages))

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights of every stage, unless another generator has; see ``Generator.load``."""
        from gandiff.models.diffusion.task_pipes import TaskPipes

        held = shared(self.sharing_key(device, dtype))
        with held.lock:
            held.load(lambda: self._read(device, dtype))
        for stage, part in zip(self._stages, held.value.parts, strict=True):
            stage._attach(part)
        self._shared, self._recorders = held, None
        self._pipes = TaskPipes(held.value.cascade)

    def _with(self, settings: DiffusersSettings) -> DiffusersGenerator:
        other = copy.copy(self)
        other._settings, other.one_by_one = settings, False
        each = zip(self._stages, settings_of_stages(settings), strict=True)
        other._stages = [stage._with(own) for stage, own in each]
        return other

    def _is_exact(self) -> bool:
        return all(stage._is_exact() for stage in self._stages)

    def unload(self) -> None:
        """Let go of the pipelines."""
        for stage in self._stages:
            stage.unload()
        super().unload()

    def _read(self, device: str, dtype: str) -> _Held:
        parts = []
        for stage in self._stages:
            parts.append(Shared[Any]())
            parts[-1].load(functools.partial(stage._read, device, dtype))
        return _Held(parts, Cascade([part.value for part in parts]))

    @contextlib.contextmanager
    def _ready(self) -> Iterator[Any]:
        if self._shared is None:
            raise GeneratorError(f"{self._name} is not loaded; call load() first")
        with self._shared.lock, contextlib.ExitStack() as stack:
            for stage in self._stages:
                stack.enter_context(stage._ready())
            yield self._shared.value.cascade

    def _arguments(self, pipe: Any, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
        calls = [
            stage._arguments(part, requests)
            for stage, part in zip(self._stages, pipe.stages, strict=True)
        ]
        for call in calls[:-1]:
            call["output_type"] = "pt"
        for call in calls[1:]:
            call["generator"] = calls[0]["generator"]
        return {"calls": calls}

    def _note_facts(self, image: np.ndarray | None) -> None:
        *before, last = self._stages
        for stage in before:
            stage._note_facts(None)
        last._note_facts(image)

    def _note(self, pipe: Any, request: GenerationRequest) -> str | None:
        return self._stages[0]._note(pipe.stages[0], request)


@dataclasses.dataclass(frozen=True)
class _Held:
    """What the stages hold each, and the same as one thing that is called."""

    parts: Sequence[Shared[Any]]
    cascade: Cascade


def _is_if(pipe: Any) -> bool:
    return type(pipe).__name__.startswith("IF")
