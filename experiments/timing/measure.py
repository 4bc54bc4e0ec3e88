"""One generator loaded and timed; as a program it does so in a process of its own.

python -m gandiff.experiments.timing.measure
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from gandiff.evaluate.timing import (
    Timing,
    no_collection,
    peak_memory_bytes,
    reset_peak_memory,
    synchronise,
    time_callable,
)
from gandiff.experiments.prompts.sources import source_of
from gandiff.experiments.timing.sharing import CoreWatch, torch_threads
from gandiff.models.generator import GenerationRequest, Generator
from gandiff.models.shared import apart
from gandiff.models.tasks import PICTURES

# A batch size gets fewer repeats, two at least in all rounds, once it has taken this long.
PATIENCE_SECONDS = 4.0
_MOST_CALLS = 50  # of a batch size in a round, unless more repeats are asked for
_WARM_UP = 1 / 3  # of the time that the timed calls take at least


def measure_generator(generator: Generator, job: Mapping[str, Any]) -> dict[str, Any]:
    """Load and time one generator; plain data: seconds of each repeat, load, peak memory, threads,
    and the share of the cores that other programs kept busy meanwhile.
    """
    device = job["device"]
    reset_peak_memory(device)
    start = time.perf_counter()
    with apart():  # what another one holds already would take no time
        generator.load(device, job["dtype"])
    synchronise(device)
    load = time.perf_counter() - start
    together, edits = max(job["batch_sizes"], default=1), _edits(job)
    if together > 1:  # whether each image is made alone, all the same
        generator.try_out(_requests(job["prompts"], 2, edits), batch_size=together)
    watch, phases = CoreWatch(), []
    for size in sorted({1, *job["batch_sizes"]}):
        requests = _requests(job["prompts"], size, edits)
        warmups, timing = _patient(_unseen(generator, requests), job, device)
        seconds = list(timing.seconds)
        phases.append({"batch_size": size, "warmups": warmups, "seconds": seconds})
    measured = {
        "load_seconds": load,
        "phases": phases,
        "peak_memory_bytes": peak_memory_bytes(device),
        "parameters": generator.info.parameters,
        "threads": torch_threads(),
        "others_busy": watch.others(),
    }
    generator.unload()
    return measured


def _unseen(generator: Generator, requests: Sequence[GenerationRequest]) -> Callable[[], object]:
    """The call, each time with init images that differ from all before in one value by a level:
    what is kept of a picture, such as its inversion by a GAN, must not make a repeat faster.
    """
    numbers = itertools.count()

    def one(request: GenerationRequest, number: int) -> GenerationRequest:
        if request.init_image is None:
            return request
        pixels = request.init_image.copy()
        pixels.flat[number % pixels.size] ^= 1
        return dataclasses.replace(request, init_image=pixels)

    def call() -> object:
        number = next(numbers)
        return generator.generate([one(request, number) for request in requests])

    return call


def _patient(call: Callable[[], object], job: Mapping[str, Any], device: str) -> tuple[int, Timing]:
    """Time a call: how often it was called to warm up, and the repeats.

    There are more of both than asked for until ``min_seconds`` have passed (to warm up a third of
    that; not at all where no warm-up is asked for), and fewer repeats where patience ends before.
    """
    at_least = job["min_seconds"]

    def is_warm(seconds: Sequence[float]) -> bool:
        return not job["warmup"] or _is_done(seconds, job["warmup"], at_least * _WARM_UP)

    def is_enough(seconds: Sequence[float]) -> bool:
        gives_up = sum(seconds) > job["patience_seconds"] and len(seconds) >= job["fewest_repeats"]
        return gives_up or _is_done(seconds, job["repeats"], at_least)

    with no_collection():
        warmups = _timed_until(is_warm, call, device)
        return len(warmups), Timing(seconds=tuple(_timed_until(is_enough, call, device)))


def _is_done(seconds: Sequence[float], calls: int, at_least: float) -> bool:
    """Whether there were so many calls, and so much time has passed or there were very many."""
    passed = sum(seconds) >= at_least or len(seconds) >= _MOST_CALLS
    return len(seconds) >= calls and passed


def _timed_until(
    is_done: Callable[[Sequence[float]], bool], call: Callable[[], object], device: str
) -> list[float]:
    seconds: list[float] = []
    while not is_done(seconds):
        seconds += time_callable(call, warmup=0, repeats=1, device=device).seconds
    return seconds


def _requests(
    prompts: Sequence[str], size: int, edits: Sequence[Mapping[str, Any]] = ()
) -> list[GenerationRequest]:
    places = [i % len(prompts) for i in range(size)]
    return [
        GenerationRequest(prompt=prompts[place], seed=i, **(edits[place] if edits else {}))
        for i, place in enumerate(places)
    ]


def _edits(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the task adds to each prompt, with the pictures read; nothing in text to image."""
    if not job.get("edits"):
        return []
    folder, rows = Path(job["folder"]), job["sources"]
    edits = [dict(edit) for edit in job["edits"]]
    for edit, row in zip(edits, rows, strict=True):
        named = ((name, source_of(name, row.get(name), folder)) for name in PICTURES)
        edit |= {name: source.read() for name, source in named if source is not None}
    return edits


def _get_ready(kind: str) -> None:
    """Import what generators of a kind of ours would import when they are loaded."""
    if kind in ("gan", "diffusers"):
        import torch  # noqa: F401
        from transformers import CLIPTextModel  # noqa: F401
    if kind == "diffusers":
        from diffusers import StableDiffusionPipeline  # noqa: F401


def _answer(make: Callable[[], Generator], job: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured; a ``problem`` where that fails."""
    try:
        return measure_generator(make(), job)
    except Exception as error:  # whatever it is, it is said, and the run continues
        return {"problem": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}


def _answer_apart(make: Callable[[], Generator], job: Mapping[str, Any], out: TextIO) -> None:
    """Answer in a child: only what was imported has happened in it before."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            print(json.dumps(_answer(make, job)), file=out, flush=True)
            code = 0
        finally:
            os._exit(code)  # at once: what follows is the parent's
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:  # it died, and has not answered
        print(json.dumps({"exit_code": code}), file=out, flush=True)


def main() -> None:
    """Read a job, a line of JSON, and get ready for those of its type; time each that follows, then
    say so in a line of JSON.
    """
    from gandiff.experiments.plugins.registry import make_generator

    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints
    _get_ready(json.loads(sys.stdin.readline())["type"])
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        make = functools.partial(
            make_generator, job["name"], job["type"], job["settings"], Path(job["base"])
        )
        if job["fork"]:
            _answer_apart(make, job, out)
        else:
            print(json.dumps(_answer(make, job)), file=out, flush=True)


if __name__ == "__main__":
    main()
