"""Every text-to-image pipeline of diffusers as a Generator; torch is imported on ``load``."""

from __future__ import annotations

import dataclasses
import gc
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.call import arguments, note
from gandiff.models.diffusion.facts import check_call, describe, family, resolution
from gandiff.models.diffusion.index import PipelineIndex, check_directory
from gandiff.models.diffusion.parts import PICKLES, WEIGHTS
from gandiff.models.diffusion.schedulers import (
    build_scheduler,
    check_options,
    named_class,
    with_options,
)
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.generator import (
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
    TraceFrame,
)
from gandiff.models.pixels import finish
from gandiff.models.weights import (
    ModelCard,
    combined_sha256,
    find_weights,
    missing_weights,
    read_card,
)

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


class DiffusersGenerator(Generator):
    """A pipeline of diffusers behind the contract.

    Noise comes from one CPU generator per image, seeded by the request, so it does not depend on
    the batch or the device. NFE and truncated tokens are counted, not computed from the settings.
    Requests with and without a negative prompt run in two calls: some pipelines encode a missing
    one differently from an empty one.
    """

    def __init__(self, name: str, settings: DiffusersSettings) -> None:
        """Check the settings and, for a directory, everything that its small files tell.

        Raises ``GeneratorError`` for weights that are missing, pickled without leave, or not
        text-to-image. Of a hub id the index is asked for, which is small: a pipeline that is not
        there shows before anything is made.
        """
        self._name = name
        self._settings = settings
        self._pipe: Any = None
        self._commit: str | None = None
        self._facts: dict[str, Any] = {}
        self._directory = find_weights(settings.pipeline)
        if self._directory is not None:
            index = check_directory(
                self._directory, allow_pickle=settings.allow_pickle, variant=settings.variant
            )
            self._check_open(index)
        elif not _HUB_ID.match(settings.pipeline):
            raise missing_weights(settings.pipeline)
        else:
            self._ask_hub()
        self._card = ModelCard() if self._directory is None else read_card(self._directory)

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the pipeline; the networks' are known once it is loaded, and stay known."""
        training = self._card.training or {}
        facts = {
            "family": family(self._settings, self._directory),
            "resolution": resolution(self._settings, self._directory),
            "settings": dataclasses.asdict(self._settings),
            **self._facts,
        }
        return GeneratorInfo(
            name=self._name,
            training=self._card.training,
            training_images=training.get("images"),
            training_seconds=training.get("seconds"),
            training_device=training.get("device"),
            licence=self._card.licence,
            source=self._card.source or self._hub_page(),
            weights_sha256=self._checksum(),
            **facts,
        )

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights and put the chosen solver in place; see ``Generator.load``."""
        from gandiff.models.diffusion.loading import load_pipeline

        source = self._settings.pipeline if self._directory is None else str(self._directory)
        pipe = load_pipeline(source, self._settings, device, dtype, self._commit)
        self._install_scheduler(pipe)
        check_call(type(pipe), self._settings.extra)
        self._facts = describe(pipe, self._settings, self._directory)
        self._pipe = pipe

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; see ``Generator.generate``."""
        pipe = self._loaded()
        results: list[Generation | None] = [None] * len(requests)
        groups: dict[bool, list[int]] = {}
        for place, request in enumerate(requests):
            refusal = _edit_refusal(request)
            if refusal is not None:
                results[place] = Generation(image=None, status="failed", reason=refusal, nfe=0)
            else:
                groups.setdefault(bool(request.negative_prompt), []).append(place)
        for places in groups.values():
            for place, result in zip(
                places, self._run(pipe, [requests[place] for place in places]), strict=True
            ):
                results[place] = result
        return [result for result in results if result is not None]

    def trace(self, request: GenerationRequest, steps: Sequence[int]) -> list[TraceFrame]:
        """Make one image again and keep x_t and the x_0 estimate of the given solver steps.

        Frames come in the order of the steps. Raises ``ValueError`` for a step that the solver does
        not make.
        """
        from gandiff.models.diffusion.loading import quiet
        from gandiff.models.diffusion.trace import StepRecorder, can_trace, frames

        pipe = self._loaded()
        if not can_trace(pipe):
            raise NotImplementedError(
                f"{self._name}: the steps of {type(pipe).__name__} cannot be shown"
            )
        with quiet(), StepRecorder(pipe.scheduler, steps) as recorder:
            pipe(**arguments(pipe, self._settings, [request]))
        return frames(pipe, recorder)

    def unload(self) -> None:
        """Drop the pipeline and give its memory back."""
        if self._pipe is None:
            return
        on_cuda = self._pipe.device.type == "cuda"
        self._pipe = None
        gc.collect()
        if on_cuda:
            import torch

            torch.cuda.empty_cache()

    def _run(self, pipe: Any, requests: list[GenerationRequest]) -> list[Generation]:
        from gandiff.models.diffusion.counting import DenoiserCounter, truncated_tokens
        from gandiff.models.diffusion.loading import quiet

        with quiet(), DenoiserCounter(pipe) as counter:
            images = pipe(**arguments(pipe, self._settings, requests)).images
            unread = [truncated_tokens(pipe, r.prompt, self._settings.extra) for r in requests]
        if len(images) != len(requests):
            raise GeneratorError(
                f"{self._name}: {type(pipe).__name__} made {len(images)} images for "
                f"{len(requests)} prompts"
            )
        nfe = round(counter.rows / len(requests))
        height, width = self._settings.height, self._settings.width
        size = None if height is None or width is None else (height, width)
        return [
            finish(
                np.asarray(image),
                size=size,
                nfe=nfe,
                truncated_tokens=tokens,
                note=note(pipe, self._settings, request),
            )
            for request, image, tokens in zip(requests, images, unread, strict=True)
        ]

    def _install_scheduler(self, pipe: Any) -> None:
        name, options = self._settings.scheduler, self._settings.scheduler_options
        original = getattr(pipe, "scheduler", None)
        if original is None:
            if name is not None or options:
                raise GeneratorError(
                    f"{type(pipe).__name__} has no single scheduler that could be replaced; "
                    "leave scheduler and scheduler_options out"
                )
            return
        if name is not None:
            pipe.scheduler = build_scheduler(name, original, options)
        elif options:
            pipe.scheduler = with_options(original, options)
        self._try_steps(pipe.scheduler)

    def _try_steps(self, scheduler: Any) -> None:
        """Find out now, not at the first image, whether the solver can make that many steps."""
        if scheduler.config.get("use_dynamic_shifting"):
            return  # it needs to know the size of the image first
        try:
            scheduler.set_timesteps(self._settings.num_inference_steps)
        except Exception as error:  # each solver checks its options in a way of its own
            steps, cls = self._settings.num_inference_steps, type(scheduler).__name__
            raise GeneratorError(f"{cls} cannot make {steps} steps: {error}") from error

    def _check_open(self, index: PipelineIndex) -> None:
        """Check ``extra`` and ``scheduler_options``, whose names and types diffusers knows; it is
        imported where there are any.
        """
        settings = self._settings
        if not settings.extra and not settings.scheduler_options:
            return
        import diffusers

        _, own = index.parts.get("scheduler", ("", ""))
        solver = getattr(diffusers, named_class(settings.scheduler, own), None)
        if solver is not None:
            check_options(solver, settings.scheduler_options)
        pipeline = getattr(diffusers, index.class_name, None)
        # What is saved for images to images is loaded as another class for text.
        if pipeline is not None and "Img2Img" not in index.class_name:
            check_call(pipeline, settings.extra)

    def _ask_hub(self) -> None:
        from gandiff.models.diffusion.hub import hub_index

        settings = self._settings
        self._commit = hub_index(settings.pipeline, settings.revision, settings.local_files_only)

    def _hub_page(self) -> str | None:
        return (
            f"https://huggingface.co/{self._settings.pipeline}" if self._directory is None else None
        )

    def _checksum(self) -> str | None:
        if self._directory is None:
            return None if self._commit is None else f"hub:{self._commit}"
        own = combined_sha256(self._directory, WEIGHTS)
        return own or combined_sha256(self._directory, PICKLES)

    def _loaded(self) -> Any:
        if self._pipe is None:
            raise GeneratorError(f"{self._name} is not loaded; call load() first")
        return self._pipe


def _edit_refusal(request: GenerationRequest) -> str | None:
    for field in ("init_image", "mask", "control_image"):
        if getattr(request, field) is not None:
            return f"the request has {field}, but this generator makes images from text alone"
    return None
