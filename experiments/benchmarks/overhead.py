"""What the harness costs: images through the runner against a bare loop that saves the same PNGs.

    python -m gandiff.experiments.benchmarks.overhead

Both sides make the same images with the same loaded generator, turn by turn (A B, B A, ...), so
that a slow moment of the machine hits both. Printed are the median ratio with its interval and the
milliseconds more for an image.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gandiff.experiments.benchmarks.turns import by_turns
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.plugins.registry import make_generator
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import open_run
from gandiff.models.generator import Generation, GenerationRequest, Generator, GeneratorInfo

CASES: dict[str, dict[str, object]] = {
    "gan": {"type": "gan"},
    "diffusion": {
        "type": "diffusers",
        "pipeline": "diffusion-scenes",
        "scheduler": "ddim",
        "num_inference_steps": 20,
        "guidance_scale": 2.0,
    },
}


class Loaded(Generator):
    """A generator that stays loaded, so that loading is timed on neither side."""

    def __init__(self, inner: Generator) -> None:
        inner.load()
        self._inner = inner

    @property
    def info(self) -> GeneratorInfo:
        """Facts about the generator inside."""
        return self._inner.info

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Nothing: it is loaded."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Let the generator inside make the images."""
        return self._inner.generate(requests)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overhead:
    """Paired ratios runner / bare loop, and the extra milliseconds an image, one each pair."""

    ratios: tuple[float, ...]
    extra_milliseconds: tuple[float, ...]

    def interval(self) -> tuple[float, float, float]:
        """Median ratio with the order statistics that bound it at 95 % (binomial)."""
        ordered = sorted(self.ratios)
        spread = round(0.98 * len(ordered) ** 0.5)
        middle = (len(ordered) - 1) / 2
        low, high = max(0, int(middle - spread)), min(len(ordered) - 1, int(middle + spread + 0.5))
        return statistics.median(ordered), ordered[low], ordered[high]


def measure(name: str, pairs: int, prompts: int, batch_size: int) -> Overhead:
    """Run ``pairs`` pairs of one case in throw-away folders."""
    settings: dict[str, object] = dict(CASES[name])
    generator = Loaded(make_generator(name, str(settings.pop("type")), settings))
    with tempfile.TemporaryDirectory() as root:

        def side(work: Callable[[Generator, str, Path, int, int], float]) -> float:
            return work(generator, name, Path(tempfile.mkdtemp(dir=root)), prompts, batch_size)

        sides = [functools.partial(side, work) for work in (_through_runner, _bare)]
        runner, bare = by_turns(sides, pairs, name)
    extra = (runner - bare) / prompts * 1000
    return Overhead(ratios=tuple(runner / bare), extra_milliseconds=tuple(extra))


def _through_runner(
    generator: Generator, name: str, folder: Path, prompts: int, batch: int
) -> float:
    data = {
        "name": "overhead",
        "suite": {"name": "scenes", "prompts": prompts},
        "samples_per_prompt": 1,
        "batch_size": batch,
        "metrics": [],
        "device": "cpu",
    }
    comparison = comparison_from_dict(data, objects=[name])
    with open_run(comparison, folder, generators={name: generator}) as run:
        start = time.perf_counter()
        generate_images(run, quiet=True)
        return time.perf_counter() - start


def _bare(generator: Generator, name: str, folder: Path, prompts: int, batch: int) -> float:
    from PIL import Image

    from gandiff.experiments.scenes.suite import scene_suite

    texts = [prompt["text"] for prompt in scene_suite("test", prompts)]
    start = time.perf_counter()
    for first in range(0, prompts, batch):
        chosen = texts[first : first + batch]
        requests = [GenerationRequest(prompt=t, seed=first + i) for i, t in enumerate(chosen)]
        for i, made in enumerate(generator.generate(requests)):
            if made.image is not None:
                Image.fromarray(made.image).save(folder / f"{first + i}.png", compress_level=1)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description="What the harness costs beside a bare loop.")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--prompts", type=int, default=64, help="images on each side of a pair")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", choices=sorted(CASES))
    chosen = parser.parse_args(arguments)
    for name in CASES if chosen.only is None else [chosen.only]:
        found = measure(name, chosen.pairs, chosen.prompts, chosen.batch_size)
        median, low, high = found.interval()
        more = statistics.median(found.extra_milliseconds)
        print(
            f"{name}: ratio {median:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"{more:+.3f} ms an image, {chosen.pairs} pairs of {chosen.prompts} images "
            f"at batch size {chosen.batch_size}"
        )


if __name__ == "__main__":
    main()
