"""Pictures of the steps of a pipeline: each state drawn as the pipeline itself draws its last one.

Latents are packed, shifted and scaled in many ways, and only the pipeline's own code knows which.
So it is called again with another result of its last step in place of the real one. Its networks
do not run for that: what they gave in the real call is given to it once more.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from gandiff.models.diffusion.counting import denoisers, modules, parts
from gandiff.models.diffusion.loading import pictures_of
from gandiff.models.diffusion.patching import replaced
from gandiff.models.diffusion.trace import Stage, StepRecorder, schedulers, wrapped_step
from gandiff.models.generator import TraceFrame
from gandiff.models.pixels import to_uint8

Pixels = UInt8[np.ndarray, "h w 3"]
Call = Callable[[], Any]


def frames(pipe: Any, call: Call, moments: Sequence[float]) -> list[TraceFrame]:
    """Call a pipeline for one image and show its way there, stage by stage.

    ``call`` makes the image, the same one each time. ``moments`` are fractions of the steps that
    are really made: 0 is the noise, 1 what the last step gives. Stages whose result is no picture
    (a prior's image embedding) are left out. Raises ``NotImplementedError`` where there are no
    steps to see.
    """
    name = type(pipe).__name__
    if not schedulers(pipe):
        raise NotImplementedError(f"{name} has no scheduler whose steps could be followed")
    with StepRecorder(pipe) as recorder, _Outputs(pipe, recorder) as outputs:
        call()
    if not recorder.stages:
        raise NotImplementedError(f"{name} makes no steps with its scheduler")
    end = recorder.stages[-1].end
    if end is not None and not end.is_floating_point():
        raise NotImplementedError(
            f"{name} goes through tokens, which are no picture before the end"
        )
    shown: list[TraceFrame] = []
    for number, stage in enumerate(recorder.stages, start=1):
        last = number == len(recorder.stages)
        if last or _in_pixels(pipe, stage):
            draw = functools.partial(_replayed, call, stage, outputs) if last else _clipped
            label = f"stage {number} of {len(recorder.stages)}" if len(recorder.stages) > 1 else ""
            shown += _frames(stage, moments, draw, label)
    return shown


def _frames(
    stage: Stage, moments: Sequence[float], draw: Callable[[torch.Tensor], Pixels], label: str
) -> Iterator[TraceFrame]:
    total = len(stage.steps)
    for place in sorted({round(moment * total) for moment in moments}):
        step = stage.steps[min(place, total - 1)]
        noisy = step.noisy if place < total else stage.end
        assert noisy is not None  # a stage begins with a step
        yield TraceFrame(
            step=place,
            steps=total,
            stage=label,
            timestep=step.timestep if place < total else 0.0,
            noisy=draw(noisy),
            estimate=None if step.estimate is None else draw(step.estimate),
        )


def _in_pixels(pipe: Any, stage: Stage) -> bool:
    """Whether the steps of a stage are made on pixels: its pipeline has nothing that decodes."""
    owner = next(
        part
        for part in reversed(parts(pipe))
        if any(component is stage.scheduler for component in _of(part))
    )
    decodes = (isinstance(c, torch.nn.Module) and hasattr(c, "decode") for c in _of(owner))
    return len(stage.shape) == 4 and stage.shape[1] == 3 and not any(decodes)


def _of(part: Any) -> list[Any]:
    return list(getattr(part, "components", {}).values())


def _clipped(pixels: torch.Tensor) -> Pixels:
    return to_uint8(pixels[0].permute(1, 2, 0).float().cpu().numpy(), -1.0, 1.0)


def _replayed(call: Call, stage: Stage, outputs: _Outputs, state: torch.Tensor) -> Pixels:
    """What the pipeline makes of a state as if its last step had given that."""

    def around(step: Any, given: Any) -> Any:
        result = step()
        sample = given["sample"]
        return _with(result, state.to(sample)) if sample.shape == state.shape else result

    step = wrapped_step(stage.scheduler, around)
    with replaced(stage.scheduler, "step", step):
        try:
            with outputs.given_again():
                image = pictures_of(call())[0]
        except AttributeError:  # self-attention guidance looks into the network: it has to run
            image = pictures_of(call())[0]
    return image if image.dtype == np.uint8 else to_uint8(image)


def _with(result: Any, state: torch.Tensor) -> Any:
    """A step's result with a state in the place of every tensor of its shape."""

    def put(value: Any) -> Any:
        same = isinstance(value, torch.Tensor) and value.shape == state.shape
        return state.clone() if same else value

    if isinstance(result, tuple):
        return tuple(put(value) for value in result)
    return type(result)(**{key: put(value) for key, value in result.items()})


def _shape(batch: Any) -> Any:
    """The shape of a tensor; of a list, also one of lists, how many and that of the first."""
    if isinstance(batch, torch.Tensor):
        return batch.shape
    return len(batch), *(_shape(one) for one in batch[:1] if isinstance(one, (torch.Tensor, list)))


class _Outputs:
    """Keeps what the networks of a pipeline give before its last step.

    Of a denoiser one output for each shape of input is enough: its value does not matter any more.
    """

    def __init__(self, pipe: Any, recorder: StepRecorder) -> None:
        self._networks, self._recorder = modules(pipe), recorder
        self._many = denoisers(pipe)
        self._kept: dict[str, dict[Any, Any]] = {}
        self._ran_at: dict[str, int] = {}  # how many steps were made when a network ran last
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Outputs:
        for name, module in self._networks.items():
            keep = functools.partial(self._keep, name)
            hook = module.register_forward_hook(keep, with_kwargs=True)
            self._stack.callback(hook.remove)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def given_again(self) -> Iterator[None]:
        """Let the networks that ran before the last step give what they gave then."""
        with contextlib.ExitStack() as stack:
            for name, kept in self._kept.items():
                if self._ran_at[name] < self._recorder.calls:
                    module = self._networks[name]
                    again = self._again(name, kept, module.forward)
                    stack.enter_context(replaced(module, "forward", again))
            yield

    def _keep(
        self, name: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        kept = self._kept.setdefault(name, {})
        kept.setdefault(self._key(name, len(kept), (*args, *kwargs.values())), output)
        self._ran_at[name] = self._recorder.calls

    def _key(self, name: str, number: int, given: tuple[Any, ...]) -> Any:
        """Denoisers are known by the shape of their input, others by the number of the call."""
        if name not in self._many:
            return number
        return _shape(next(one for one in given if isinstance(one, (torch.Tensor, list))))

    def _again(self, name: str, kept: dict[Any, Any], forward: Any) -> Any:
        calls = iter(range(len(kept)))

        @functools.wraps(forward)
        def again(*args: Any, **kwargs: Any) -> Any:
            number = next(calls, len(kept)) if name not in self._many else 0
            key = self._key(name, number, (*args, *kwargs.values()))
            return kept[key] if key in kept else forward(*args, **kwargs)

        return again
