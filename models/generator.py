"""The contract that everything which makes images from text fulfils.

A generator turns ``GenerationRequest`` values into ``Generation`` values, one for one. The promise
that the whole project rests on: generation *i* depends on request *i* alone, never on its
neighbours in the batch, on the batch size or on what was generated before.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from gandiff.common.contents import FileMark

Family = Literal["gan", "diffusion", "distilled", "hybrid", "folder", "other"]
Task = Literal["text_to_image", "image_to_image", "inpaint", "paint", "control"]
Ability = Literal["text_to_image", "image_to_image", "inpaint", "paint", "control", "trace"]
Status = Literal["ok", "failed", "filtered"]
Cost = Literal["compute", "request", "lookup"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One image to make.

    ``seed`` is an unsigned 32-bit integer: torch's CPU generator reads no more. ``prompt_id`` and
    ``sample`` say which place of a run the request fills; folders of ready images are looked up by
    them, and generators that compute their images must ignore them.

    ``task`` says what is to be done, and with it which pictures are there
    (``gandiff.models.tasks.SOURCES``). ``init_image`` is the picture that is changed; ``mask``, of
    its size, is 255 where it is to change and 0 where it must stay, and nothing between.
    ``control_image`` is what the result has to follow (outlines, depth). ``strength``, above 0 and
    at most 1, is the share of the way from the init image to an image of the prompt alone; None
    leaves it to the generator. All of them are None in ``text_to_image``. The arrays are the
    request's own.
    """

    prompt: str
    seed: int
    negative_prompt: str | None = None
    prompt_id: str | None = None
    sample: int = 0
    task: Task = "text_to_image"
    init_image: UInt8[np.ndarray, "h w 3"] | None = None
    mask: UInt8[np.ndarray, "h w"] | None = None
    control_image: UInt8[np.ndarray, "h w 3"] | None = None
    strength: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation:
    """What became of one request.

    ``image`` is None exactly when ``status`` is not ``ok``. ``nfe`` counts evaluations of the
    denoisers per image, guidance included (a GAN has 1, a ready image 0), and ``nfe_by_network``
    says which where several run (a prior, the stages of a cascade); what a language model writes
    for the image stands there in tokens under ``NAME (autoregressive)`` and is no part of the sum.
    ``truncated_tokens`` maps the name of a text encoder to how many tokens of the prompt it did not
    read, 0 for one that read to the end where another did not. ``source`` is the file that a ready
    image was read from, whether or not it could be decoded. ``uncomposited``, of the size of
    ``image``, is what an edit within a mask made before the known pixels were put back; None where
    none were. It is measured beside the image.
    """

    image: UInt8[np.ndarray, "h w 3"] | None
    status: Status = "ok"
    reason: str | None = None
    truncated_tokens: Mapping[str, int] = dataclasses.field(default_factory=dict)
    nfe: int = 1
    nfe_by_network: Mapping[str, int] = dataclasses.field(default_factory=dict)
    source: FileMark | None = None
    uncomposited: UInt8[np.ndarray, "h w 3"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorInfo:
    """What is known of a generator; unknown facts are None, never guessed.

    ``training`` is the record that training wrote (command, seconds, images seen, device, curve).
    ``cost`` says what an image takes: ``compute`` is time on this machine alone; ``request`` may be
    money or somebody else's service, so no image is asked for beyond those that are wanted (batches
    are not filled up, nothing is timed or traced unless that is asked for); ``lookup`` is a file
    that was made elsewhere, whose speed says nothing. ``abilities`` are the tasks that it can do,
    known before it is loaded (a run asks it for nothing else), and ``trace`` if it can show its
    steps, which may be known only then; ``lacks`` says of a task that others of its kind can do why
    it cannot. ``yardstick`` says of what is not a model, such as real
    images, what it shows: tables explain it and choose the best among the others.
    """

    name: str
    family: Family
    resolution: int | None = None  # px, the side of a square image
    parameters: int | None = None  # of every network that runs to make an image
    conditioning: str | None = None  # the text encoder
    training_images: int | None = None
    training_seconds: float | None = None
    training_device: str | None = None
    training: Mapping[str, Any] | None = None
    licence: str | None = None
    source: str | None = None
    weights_sha256: str | None = None
    abilities: frozenset[Ability] = frozenset({"text_to_image"})
    lacks: Mapping[Task, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()  # what the reader of a run should know; each becomes a warning
    off_native: tuple[str, ...] = ()  # settings far from what it was made for; marked in tables
    cost: Cost = "compute"
    yardstick: str = ""  # such as "real photos: what a perfect model would get"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """What a generator can say of the requests of a run before it makes the first image.

    ``problems`` are settings with what is certainly wrong about them, ``remarks`` what a reader of
    the results should know, ``summary`` how many images are there.
    """

    summary: str = ""
    problems: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TraceFrame:
    """One moment on the way from noise to image; both pictures decoded to pixels.

    ``steps`` are those that the solver made, which is more than it was asked for where it is of
    higher order; ``step`` of them were made before this moment, so 0 is the noise and the last one
    the image, with the known pixels put back that an edit within a mask keeps. ``stage`` names the
    part of a cascade, empty where there is one alone.
    """

    step: int
    steps: int
    timestep: float  # in the scheduler's own unit; 0 at the end
    noisy: UInt8[np.ndarray, "h w 3"]  # x_t
    estimate: UInt8[np.ndarray, "h w 3"] | None  # what x_0 was taken to be, None if unknown
    stage: str = ""


class Generator(abc.ABC):
    """Makes images. Building one is cheap and checks its settings; ``load`` reads the weights."""

    @property
    @abc.abstractmethod
    def info(self) -> GeneratorInfo:
        """Facts about this generator; complete once loaded."""

    @abc.abstractmethod
    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Read the weights to ``device``; raises ``GeneratorError`` if they are missing or do not
        fit.
        """

    def refusal(self, request: GenerationRequest) -> str | None:
        """Why the image of a request, of a task among the abilities, cannot be made, in one line,
        as far as the settings say; None if it may. It is asked before anything is loaded.
        """
        return None

    @abc.abstractmethod
    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Make one image per request, in order; result i depends on request i alone."""

    def sharing_key(self, device: str, dtype: str) -> Hashable | None:
        """All that decides what ``load`` reads; None for a generator that shares nothing.

        Generators with equal keys read the same, and a run has them follow each other so that the
        second one need not (``gandiff.models.shared``).
        """
        return None

    def source(self, request: GenerationRequest) -> Path | None:
        """The file that the image of a request is read from; None if it is not there, and for
        images that are computed.

        A run asks before it keeps an image that it has: what the file holds now must be what the
        ``source`` of the ``Generation`` said.
        """
        return None

    def preview(
        self, requests: Iterable[GenerationRequest], suite: Iterable[GenerationRequest] = ()
    ) -> Preview:
        """Look at all requests of a run, without making anything; called once before ``generate``.

        ``suite`` are those of the whole suite in its order, where a run leaves some out
        (``--limit``); those of the run are among them, and none has its pictures.
        """
        return Preview()

    def try_out(  # noqa: B027  (what does not depend on settings has nothing to try)
        self, requests: Sequence[GenerationRequest], *, batch_size: int = 1
    ) -> None:
        """See whether the settings work on these requests, one or two of a run; called once it is
        loaded and before the first image of any generator is made.

        Whatever would fail every image raises ``GeneratorError`` with what to change. It must
        change nothing in the images that are made later, and do nothing where requests cost money.
        """

    def unload(self) -> None:  # noqa: B027  (most generators have nothing more to do)
        """Free the memory that ``load`` took."""

    def trace(self, request: GenerationRequest, moments: Sequence[float]) -> list[TraceFrame]:
        """Make one image again and show it at the given moments of the way from noise to image.

        A moment is a fraction, 0 to 1, of the steps that are really made; the nearest step is
        shown, and each once. Raises ``NotImplementedError`` with the reason where there is none.
        """
        raise NotImplementedError(f"{self.info.name} has no steps to show")
