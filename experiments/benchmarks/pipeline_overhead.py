"""What a generator of diffusers costs beside the bare call of its pipeline on the same inputs.

    python -m gandiff.experiments.benchmarks.pipeline_overhead

Both sides make the same images (which is checked first), turn by turn (A B, B A, ...), so that a
slow moment of the machine hits both. Printed are the median ratio with its interval and the
milliseconds more for an image, for each number of steps, and the same ratio of processor time,
which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gandiff.experiments.benchmarks.overhead import Overhead
from gandiff.experiments.benchmarks.turns import by_turns, seconds_of
from gandiff.experiments.plugins.registry import make_generator
from gandiff.experiments.scenes.suite import scene_suite
from gandiff.models.generator import GenerationRequest, Generator
from gandiff.models.weights import find_weights

GUIDANCE = 2.0


def measure(pipeline: str, steps: int, pairs: int, batch_size: int) -> list[Overhead]:
    """Time ``pairs`` pairs of calls that make ``batch_size`` images each, by the clock and by the
    time of the processor.

    Raises ``RuntimeError`` where the two sides do not make the same pixels.
    """
    folder = find_weights(pipeline)
    if folder is not None:  # absolute, since settings take a/b for an id on the hub
        pipeline = str(folder.absolute())
    settings = {"pipeline": pipeline, "num_inference_steps": steps, "guidance_scale": GUIDANCE}
    generator = make_generator("timed", "diffusers", settings)
    generator.load()
    texts = [prompt["text"] for prompt in scene_suite("test", batch_size)]
    requests = [GenerationRequest(prompt=text, seed=i) for i, text in enumerate(texts)]
    bare = functools.partial(_bare, _bare_pipeline(pipeline), requests, steps)
    ours = functools.partial(_ours, generator, requests)
    if not np.array_equal(ours(), np.rint(np.asarray(bare()) * 255)):
        raise RuntimeError("the generator and the bare pipeline made different images")
    busy: list[list[float]] = [[], []]
    sides = [functools.partial(_timed, *side) for side in zip((ours, bare), busy, strict=True)]
    seconds = by_turns(sides, pairs, f"{steps} steps")
    return [
        Overhead(ratios=tuple(a / b), extra_milliseconds=tuple((a - b) / batch_size * 1000))
        for a, b in (seconds, np.array(busy)[:, -pairs:])
    ]


def _timed(work: Callable[[], object], busy: list[float]) -> float:
    """How long a call takes; the processor's share is added to ``busy``."""
    start = time.process_time()
    seconds = seconds_of(work)
    busy.append(time.process_time() - start)
    return seconds


def _ours(generator: Generator, requests: Sequence[GenerationRequest]) -> np.ndarray:
    return np.stack([made.image for made in generator.generate(requests) if made.image is not None])


def _bare_pipeline(pipeline: str) -> Any:
    from diffusers import DiffusionPipeline

    loader: Any = DiffusionPipeline
    pipe = loader.from_pretrained(pipeline)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _bare(pipe: Any, requests: Sequence[GenerationRequest], steps: int) -> Any:
    import torch

    return pipe(
        prompt=[request.prompt for request in requests],
        generator=[torch.Generator().manual_seed(request.seed) for request in requests],
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        output_type="np",
    ).images


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each number of steps."""
    parser = argparse.ArgumentParser(description="What a generator costs beside its bare pipeline.")
    parser.add_argument("--pipeline", default="diffusion-scenes", help="shipped name or directory")
    parser.add_argument("--steps", type=int, nargs="+", default=[3, 20])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=4)
    chosen = parser.parse_args(arguments)
    for steps in chosen.steps:
        timed = measure(chosen.pipeline, steps, chosen.pairs, chosen.batch_size)
        ratios = ["{:.3f} (95 % interval {:.3f} to {:.3f})".format(*t.interval()) for t in timed]
        more = np.median(timed[0].extra_milliseconds)
        print(
            f"{steps} steps: ratio {ratios[0]}, {more:+.3f} ms an image, {chosen.pairs} pairs at "
            f"batch size {chosen.batch_size}; of processor time {ratios[1]}"
        )


if __name__ == "__main__":
    main()
