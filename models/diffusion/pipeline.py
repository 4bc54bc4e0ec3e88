"""Every text-to-image pipeline of diffusers as a Generator; torch is imported on ``load``."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import weakref
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.call import guiding, max_sequence_length, note
from gandiff.models.diffusion.facts import check_call, describe, seen_in_use, summary
from gandiff.models.diffusion.index import PipelineIndex
from gandiff.models.diffusion.placing import remarks
from gandiff.models.diffusion.planned import confirmed, evidence_of_source, planned_operation
from gandiff.models.diffusion.settings import PER_CALL, DiffusersSettings
from gandiff.models.diffusion.solvers import ChosenSolver, check_solver, choose_solver
from gandiff.models.diffusion.source import Source
from gandiff.models.diffusion.sources import find_source
from gandiff.models.diffusion.task_call import (
    abilities_of,
    call_problem,
    ended,
    finished,
    group_of,
    size_to_come,
    task_arguments,
)
from gandiff.models.diffusion.trial import try_settings
from gandiff.models.generator import (
    Ability,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorInfo,
    Preview,
    TraceFrame,
)
from gandiff.models.pixels import finish
from gandiff.models.shared import Shared, free_memory, shared, sharing_key
from gandiff.models.tasks import request_problem
from gandiff.models.weights import ModelCard, read_card


class DiffusersGenerator(Generator):
    """A pipeline of diffusers behind the contract; the tasks that take pictures are done by the
    classes of diffusers for them, with its networks.

    Noise comes from one CPU generator per image, seeded by the request, so it does not depend on
    the batch or the device. NFE and truncated tokens are counted, not computed from the settings.
    Requests with and without a negative prompt run in calls of their own, as some pipelines encode
    a missing one differently from an empty one, and so do those of several tasks and strengths.
    """

    _remarks: tuple[str, ...] = ()
    _on_solver: tuple[str, ...] = ()
    _recorders: tuple[Any, Any] | None = None  # of evaluations and of tokens, since the first call
    _pipes: Any = None  # the loaded pipeline as each task calls it
    _abilities: frozenset[Ability] = frozenset({"text_to_image"})

    def __init__(
        self, name: str, settings: DiffusersSettings, source: Source | None = None
    ) -> None:
        """Check the settings and, for a directory, everything that its small files tell.

        ``source`` is that of a stage of a cascade. Raises ``GeneratorError`` as ``find_source``
        does.
        """
        self._name = name
        self._settings = settings
        self._shared: Shared[Any] | None = None
        self._solver: ChosenSolver | None = None
        self.one_by_one = False  # where images cannot be made together, or depend on each other
        self._facts: dict[str, Any] = {}
        self._source = source or find_source(settings)
        self._evidence = evidence_of_source(settings, self._source)
        self._abilities, self._lacks = abilities_of(self._source, settings, self._evidence)
        self._operation = planned_operation(settings, self._evidence)
        if self._source.index is not None:
            self._check_open(self._source.index)
        self._card = read_card(self._source.directory) if self._source.directory else ModelCard()

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the pipeline; the networks' are known once it is loaded, and stay known."""
        training = self._card.training or {}
        operation = self._operation
        said = (*operation.remarks, *remarks(self._settings), *self._on_solver, *self._remarks)
        facts = {
            "resolution": operation.resolution,
            **self._facts,
            "abilities": self._abilities | self._facts.get("abilities", frozenset()),
            "lacks": self._lacks,
            "family": operation.native.family,
            "settings": {
                **dataclasses.asdict(self._settings),
                **operation.facts(),
                **self._facts.get("settings", {}),
            },
            "off_native": operation.off_native,
            "remarks": said,
        }
        return GeneratorInfo(
            name=self._name,
            training=self._card.training,
            training_images=training.get("images"),
            training_seconds=training.get("seconds"),
            training_device=training.get("device"),
            licence=self._card.licence,
            source=self._card.source or self._source.page,
            weights_sha256=self._source.checksum(),
            **facts,
        )

    def sharing_key(self, device: str, dtype: str) -> Hashable:
        """What decides the pipeline that is loaded; see ``Generator.sharing_key``."""
        settings = dataclasses.asdict(self._settings)
        per_call = {*PER_CALL, "pipeline"}
        return sharing_key("diffusers", settings, per_call, self._source.places, device, dtype)

    def preview(
        self, requests: Iterable[GenerationRequest], suite: Iterable[GenerationRequest] = ()
    ) -> Preview:
        """Say how it will be run; see ``Generator.preview``."""
        return Preview(summary=summary(self._source.class_name, self.info.settings))

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights, unless another generator has; see ``Generator.load``."""
        held = shared(self.sharing_key(device, dtype))
        with held.lock:
            held.load(lambda: self._read(device, dtype))
            self._attach(held)

    def _read(self, device: str, dtype: str) -> Any:
        from gandiff.models.diffusion.loading import load_pipeline

        return load_pipeline(self._source, self._settings, device, dtype)

    def _attach(self, held: Shared[Any]) -> None:
        """Call what is loaded from now on, with a solver of this generator's own."""
        from gandiff.models.diffusion.task_pipes import TaskPipes

        self._pipes = TaskPipes(held.value)
        with held.lock:
            self._prepare(held.value)
        self._shared, self._recorders = held, None
        with self._ready() as pipe:
            self._facts = describe(pipe)

    def _prepare(self, pipe: Any) -> None:
        """Find the arguments and the solver of this generator's calls of a loaded pipeline."""
        self._operation = confirmed(self._settings, self._evidence, self._operation, pipe)
        resolved = {"num_inference_steps": self._operation.steps.value}
        self._solver = choose_solver(pipe, dataclasses.replace(self._settings, **resolved))
        self._on_solver = self._solver.remarks
        self.one_by_one |= self._operation.one_a_call is not None
        check_call(type(pipe).__name__, self._settings)

    def refusal(self, request: GenerationRequest) -> str | None:
        """Why the image of a request cannot be made; see ``Generator.refusal``."""
        problem = request_problem(request, self._abilities)
        return problem or call_problem(request, self._source, self._operation, self._settings)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; see ``Generator.generate``."""
        results: list[Generation | None] = [None] * len(requests)
        groups = dict[Hashable, list[int]]()
        for place, request in enumerate(requests):
            problem = self.refusal(request)
            if problem is not None:
                results[place] = Generation(image=None, status="failed", reason=problem, nfe=0)
            else:
                groups.setdefault(group_of(request), []).append(place)
        alone = ([place] for group in groups.values() for place in group)
        with self._ready() as pipe:
            for places in alone if self.one_by_one else groups.values():
                made = self._run(pipe, [requests[place] for place in places])
                for place, result in zip(places, made, strict=True):
                    results[place] = result
        return [result for result in results if result is not None]

    def try_out(self, requests: Sequence[GenerationRequest], *, batch_size: int = 1) -> None:
        """Make a few images of few steps; see ``Generator.try_out``."""
        how: dict[str, Any] = {"together": batch_size > 1, "exact": self._is_exact()}
        how["steps"] = self.info.settings.get("num_inference_steps")
        seen = try_settings(self._with, self._settings, requests, **how)
        if seen.problem:
            raise GeneratorError(seen.problem)
        self.one_by_one |= seen.one_by_one
        self._remarks = (seen.remark,) if seen.remark else ()

    def _with(self, settings: DiffusersSettings) -> DiffusersGenerator:
        """The same pipeline, loaded, called with other settings."""
        other = copy.copy(self)
        other._settings, other.one_by_one = settings, False
        other._operation = planned_operation(settings, self._evidence)
        with self._held().lock:
            other._prepare(self._held().value)
        return other

    def _is_exact(self) -> bool:
        return "float32" in str(self._held().value.dtype)  # it computes in single precision

    def trace(self, request: GenerationRequest, moments: Sequence[float]) -> list[TraceFrame]:
        """Make one image again and show moments of its way, of a cascade those of each stage whose
        steps are pictures; see ``Generator.trace``.
        """
        from gandiff.models.diffusion.decoding import frames
        from gandiff.models.diffusion.loading import quiet
        from gandiff.models.diffusion.task_pipes import call_pipe

        with self._ready(), self._pipes.of(request.task) as pipe, quiet():
            way = frames(pipe, lambda: call_pipe(pipe, self._arguments(pipe, [request])), moments)
        return ended(way, request)

    def unload(self) -> None:
        """Let go of the pipeline; the last generator that does so gives its memory back."""
        if self._shared is not None:
            held = weakref.ref(self._shared)
            self._shared = self._solver = self._recorders = self._pipes = None
            free_memory(held)

    @contextlib.contextmanager
    def _ready(self) -> Iterator[Any]:
        """The pipeline with this generator's solver in place, which no other generator sees."""
        held, solver = self._held(), self._solver
        assert solver is not None  # which it has since it was loaded
        with held.lock, solver.in_place(), guiding(held.value, self._operation):
            yield held.value

    def _held(self) -> Shared[Any]:
        if self._shared is not None:
            return self._shared
        raise GeneratorError(f"{self._name} is not loaded; call load() first")

    def _run(self, loaded: Any, requests: list[GenerationRequest]) -> list[Generation]:
        from gandiff.models.diffusion.counting import DenoiserCounter
        from gandiff.models.diffusion.reading import ReadingRecorder

        # To build them takes longer than to use them, and all tasks have the same networks.
        self._recorders = self._recorders or (DenoiserCounter(loaded), ReadingRecorder(loaded))
        with self._pipes.of(requests[0].task) as pipe:
            return self._made(pipe, requests, *self._recorders)

    def _made(
        self, pipe: Any, requests: list[GenerationRequest], counter: Any, reading: Any
    ) -> list[Generation]:
        from gandiff.models.diffusion.loading import flags_of, pictures_of, quiet
        from gandiff.models.diffusion.not_finite import explain
        from gandiff.models.diffusion.task_pipes import call_pipe

        call = self._arguments(pipe, requests)
        with quiet(), counter, reading:
            output = call_pipe(pipe, call)
        images = pictures_of(output)
        if len(images) != len(requests):
            raise GeneratorError(
                f"{self._name}: {type(pipe).__name__} made {len(images)} images for "
                f"{len(requests)} prompts"
            )
        self._note_facts(images[0])
        unread = reading.unread(requests, max_sequence_length(pipe, call))
        size = size_to_come(self._settings, requests[0])
        made = [
            finish(
                image,
                size=size,
                nfe=counter.nfe(len(requests)),
                nfe_by_network=counter.per_image(len(requests)),
                truncated_tokens=tokens,
                note=self._note(pipe, request),
                blanked=flag,
            )
            for request, image, tokens, flag in zip(
                requests, images, unread, flags_of(output, len(images)), strict=True
            )
        ]
        again = explain(made, pipe, lambda i: call_pipe(pipe, self._arguments(pipe, [requests[i]])))
        return [finished(one, request) for one, request in zip(again, requests, strict=True)]

    def _note_facts(self, image: np.ndarray | None) -> None:
        """Keep what the calls so far have used, and the size that the images really have."""
        ran = {} if self._solver is None else self._solver.used()
        self._facts = seen_in_use(self._facts, ran, image)

    def _arguments(self, pipe: Any, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
        return task_arguments(pipe, self._operation, self._settings, requests)

    def _note(self, pipe: Any, request: GenerationRequest) -> str | None:
        return note(pipe, self._operation, self._settings, request)

    def _check_open(self, index: PipelineIndex) -> None:
        """Check solver, options and ``extra``."""
        scheduler = index.parts.get("scheduler", ("", ""))[1]
        check_solver(self._settings, scheduler, self._source.directory)
        check_call(self._source.generating, self._settings)
