"""What a run will make: every image with its seed, its key and its batch, fixed before the first
one.

A plan grows by segments: the prompts that were planned together. Batches never cross from one
segment into the next, so that planning more prompts leaves every batch as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gandiff.experiments.prompts.suites import Prompt
from gandiff.models.generator import GenerationRequest

KEY_LENGTH = 20  # hex digits, 80 bits: no two of a million images share a key by chance


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GenerationJob:
    """One image to make; ``batch`` counts within the generator."""

    key: str
    generator: str
    prompt: Prompt
    sample: int
    seed: int  # unsigned 32 bit
    batch: int

    @property
    def path(self) -> str:
        """Where the image goes, relative to the run folder."""
        return f"images/{self.generator}/{self.prompt.id}_{self.sample}.png"

    def request(self) -> GenerationRequest:
        """What the generator is asked for."""
        return request_for(self.prompt, self.sample, self.seed)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Images made by one call; ``size`` is what the call is padded to."""

    generator: str
    index: int
    size: int
    jobs: tuple[GenerationJob, ...]

    def requests(self) -> list[GenerationRequest]:
        """The requests of the call: those of the jobs, then the last one again up to the size.

        Kernels, and with them the last bits of a pixel, are chosen by the shape of a batch; all
        calls of a generator therefore have one shape.
        """
        requests = [job.request() for job in self.jobs]
        return requests + [requests[-1]] * (self.size - len(requests))


def request_for(prompt: Prompt, sample: int, seed: int) -> GenerationRequest:
    """What a generator is asked for at one place of a run."""
    return GenerationRequest(
        prompt=prompt.text,
        negative_prompt=prompt.negative_prompt,
        seed=seed,
        prompt_id=prompt.id,
        sample=sample,
    )


def image_seed(run_seed: int, prompt_id: str, sample: int, salt: int = 0) -> int:
    """Derive the 32-bit seed of one place in a run; it depends on nothing else."""
    text = json.dumps([run_seed, prompt_id, sample, *([salt] if salt else [])])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def plan_seeds(
    run_seed: int, prompt_ids: Iterable[str], samples: int, bits: int = 32
) -> dict[tuple[str, int], int]:
    """Give every (prompt id, sample) its own seed.

    Where two collide, the later one is salted again: seeds of earlier prompts never change when
    prompts are added. ``bits`` narrows the seeds so that collisions can be tried out.
    """
    mask = (1 << bits) - 1
    taken: set[int] = set()
    seeds: dict[tuple[str, int], int] = {}
    for prompt_id in prompt_ids:
        for sample in range(samples):
            salt = 0
            while (seed := image_seed(run_seed, prompt_id, sample, salt) & mask) in taken:
                salt += 1
            taken.add(seed)
            seeds[prompt_id, sample] = seed
    return seeds


def image_key(
    generator: str, identity: Mapping[str, Any], prompt: Prompt, sample: int, seed: int
) -> str:
    """Hash all that decides the pixels, and the place in the run that they fill.

    ``identity`` is what decides them on the generator's side: type, settings, weights, dtype,
    device type.
    """
    parts = {
        "generator": generator,
        "identity": identity,
        "prompt": [prompt.id, prompt.text, prompt.negative_prompt],
        "sample": sample,
        "seed": seed,
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def plan_batches(
    *,
    generator: str,
    identity: Mapping[str, Any],
    prompts: Sequence[Prompt],
    seeds: Mapping[tuple[str, int], int],
    samples: int,
    batch_size: int,
    segments: Sequence[int],
) -> tuple[Batch, ...]:
    """Lay out the batches of one generator, prompts in order, the samples of a prompt together.

    ``segments`` are the growing numbers of prompts of each planning, the last one that of all
    prompts.
    """
    if list(segments) != sorted(set(segments)) or not segments or segments[-1] != len(prompts):
        raise ValueError(f"segments {list(segments)} do not lead up to {len(prompts)} prompts")
    batches: list[Batch] = []
    start = 0
    for end in segments:
        places = [(p, sample) for p in prompts[start:end] for sample in range(samples)]
        for first in range(0, len(places), batch_size):
            index = len(batches)
            jobs = tuple(
                GenerationJob(
                    key=image_key(generator, identity, prompt, sample, seeds[prompt.id, sample]),
                    generator=generator,
                    prompt=prompt,
                    sample=sample,
                    seed=seeds[prompt.id, sample],
                    batch=index,
                )
                for prompt, sample in places[first : first + batch_size]
            )
            batches.append(Batch(generator=generator, index=index, size=batch_size, jobs=jobs))
        start = end
    return tuple(batches)


def extend_segments(segments: Sequence[int], prompts: int) -> tuple[int, ...]:
    """Plan up to this many prompts on top of what was planned before."""
    return tuple(segments) if segments and segments[-1] == prompts else (*segments, prompts)


def choose_headline(families: Mapping[str, str | None]) -> tuple[str, ...]:
    """The first GAN and the first diffusion model; without such a pair, the first two."""
    gan = [name for name, family in families.items() if family == "gan"]
    diffusion = [n for n, family in families.items() if family in ("diffusion", "distilled")]
    return (gan[0], diffusion[0]) if gan and diffusion else tuple(families)[:2]
