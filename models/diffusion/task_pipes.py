"""The pipelines of the tasks, built of the networks that one pipeline holds."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gandiff.models.diffusion.loading import quiet
from gandiff.models.diffusion.patching import replaced
from gandiff.models.diffusion.task_classes import ONE_TASK, UNION
from gandiff.models.generator import Task

# They draw the latents of control images: with no generator, or with that of the noise before it.
_SAMPLES = (
    *("StableDiffusion3ControlNetPipeline", "FluxControlNetPipeline", "FluxControlPipeline"),
)
_OTHER = 0x5EED  # makes another seed of one


class TaskPipes:
    """A loaded pipeline as each of its tasks calls it; those of other classes are built when they
    are asked for first, and hold the same networks.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._built: dict[Task, Any] = {}

    @contextlib.contextmanager
    def of(self, task: Task) -> Iterator[Any]:
        """The pipeline of a task, with the solver that the loaded one has now."""
        if task == "text_to_image" or type(self._pipe).__name__ in ONE_TASK:
            yield self._pipe
            return
        if task not in self._built:
            self._built[task] = self._build(task)
        made = self._built[task]
        with replaced(made, "scheduler", self._pipe.scheduler):
            yield made

    def _build(self, task: Task) -> Any:
        import diffusers

        kinds: Any = diffusers
        # Some classes change the settings of the solver that they are built with.
        parts = {"scheduler": copy.deepcopy(self._pipe.scheduler), "add_watermarker": False}
        kind = kinds.AutoPipelineForInpainting
        if task == "image_to_image":
            kind = kinds.AutoPipelineForImage2Image
        elif task == "control":
            kind = kinds.AutoPipelineForText2Image
            parts["controlnet"] = self._pipe.controlnet
        with quiet():
            if task == "control" and type(self._pipe.controlnet).__name__ == UNION:
                made = self._with_union(kinds.StableDiffusionXLControlNetUnionPipeline, parts)
            else:
                made = kind.from_pipe(self._pipe, **parts)
        made.set_progress_bar_config(disable=True)
        return made

    def _with_union(self, kind: Any, parts: Mapping[str, Any]) -> Any:
        """The pipeline of a union ControlNet, which ``from_pipe`` does not choose."""
        zeros = self._pipe.config.force_zeros_for_empty_prompt
        components = {**self._pipe.components, **parts}
        return kind(**components, force_zeros_for_empty_prompt=zeros)


def call_pipe(pipe: Any, call: Mapping[str, Any]) -> Any:
    """Call a pipeline so that all that is random follows from the seeds of the images."""
    if type(pipe).__name__ not in _SAMPLES:
        return pipe(**call)
    with _seeded_encoding(pipe, call["generator"]):
        return pipe(**call)


@contextlib.contextmanager
def _seeded_encoding(pipe: Any, generators: Sequence[Any]) -> Iterator[None]:
    """Draw the latents of pictures with generators of other seeds, one an image: what the noise
    begins with stays what it is without them.
    """
    import torch

    encode = pipe.vae.encode
    own = [torch.Generator("cpu").manual_seed(one.initial_seed() ^ _OTHER) for one in generators]

    @functools.wraps(encode)
    def seeded(*args: Any, **kwargs: Any) -> Any:
        output = encode(*args, **kwargs)
        drawn, rows = output.latent_dist, len(output.latent_dist.mean)  # guidance doubles them
        sample, theirs = drawn.sample, own * (rows // len(own))
        drawn.sample = lambda generator=None: sample(theirs)  # whichever it is given
        return output

    with replaced(pipe.vae, "encode", seeded):
        yield
