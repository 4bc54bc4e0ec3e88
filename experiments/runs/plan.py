"""What a run will make: every image with its seed, its key and its batch, fixed before the first
one.

A plan grows by segments: what was planned together. Batches never cross from one segment into the
next, so that planning more prompts or samples leaves every batch as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gandiff.common.run_record import IMAGES
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.prompts.tasks import pictures_of, strength_of
from gandiff.models.generator import GenerationRequest, Task

KEY_LENGTH = 20  # hex digits, 80 bits: no two of a million images share a key by chance


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GenerationJob:
    """One image to make; ``batch`` counts within the generator. ``strength`` is that of an edit."""

    key: str
    generator: str
    prompt: Prompt
    sample: int
    seed: int  # unsigned 32 bit
    batch: int
    task: Task = "text_to_image"
    strength: float | None = None

    @property
    def path(self) -> str:
        """Where the image goes, relative to the run folder."""
        return f"{IMAGES}/{self.generator}/{self.prompt.id}_{self.sample}.png"

    def request(self, *, pictures: bool = True) -> GenerationRequest:
        """What the generator is asked for; without ``pictures``, none is read for it."""
        place, edit = (self.prompt, self.sample, self.seed), (self.task, self.strength)
        return request_for(*place, *edit, pictures=pictures)


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


def request_for(
    prompt: Prompt,
    sample: int,
    seed: int,
    task: Task = "text_to_image",
    strength: float | None = None,
    *,
    pictures: bool = True,
) -> GenerationRequest:
    """What a generator is asked for at one place of a run, with the prompt's ``pictures`` or not.

    Raises ``RequestError`` where a picture is gone.
    """
    return GenerationRequest(
        prompt=prompt.text,
        negative_prompt=prompt.negative_prompt,
        seed=seed,
        prompt_id=prompt.id,
        sample=sample,
        task=task,
        strength=strength,
        **(pictures_of(prompt) if pictures and task != "text_to_image" else {}),
    )


def image_seed(run_seed: int, prompt_id: str, sample: int, salt: int = 0) -> int:
    """Derive the 32-bit seed of one place in a run; it depends on nothing else."""
    text = json.dumps([run_seed, prompt_id, sample, *([salt] if salt else [])])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def grown_places(areas: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The places (prompt, sample) that each planning adds, prompts in order.

    ``areas`` are the growing numbers of prompts and of samples of each planning.
    """
    prompts = samples = 0
    for grown in areas:
        yield [
            (prompt, sample)
            for prompt in range(grown[0])
            for sample in range(0 if prompt >= prompts else samples, grown[1])
        ]
        prompts, samples = grown


def plan_seeds(
    run_seed: int,
    prompt_ids: Iterable[str],
    samples: int,
    bits: int = 32,
    areas: Sequence[tuple[int, int]] = (),
) -> dict[tuple[str, int], int]:
    """Give every (prompt id, sample) its own seed.

    Where two collide, the later one is salted again: seeds of earlier prompts never change when
    prompts are added, and neither do those of earlier samples if ``areas`` are the plannings
    before (``grown_places``). ``bits`` narrows the seeds so that collisions can be tried out.
    """
    mask = (1 << bits) - 1
    taken: set[int] = set()
    seeds: dict[tuple[str, int], int] = {}
    ids = list(prompt_ids)
    for places in grown_places([*areas, (len(ids), samples)]):
        for place, sample in places:
            salt = 0
            while (seed := image_seed(run_seed, ids[place], sample, salt) & mask) in taken:
                salt += 1
            taken.add(seed)
            seeds[ids[place], sample] = seed
    return seeds


def image_key(
    generator: str,
    identity: Mapping[str, Any],
    prompt: Prompt,
    sample: int,
    seed: int,
    task: Task = "text_to_image",
    strength: float | None = None,
) -> str:
    """Hash all that decides the pixels, and the place in the run that they fill.

    ``identity`` is what decides them on the generator's side: type, settings, weights, dtype,
    device type. An edit adds its task, its strength and the hashes of its pictures.
    """
    parts: dict[str, Any] = {
        "generator": generator,
        "identity": identity,
        "prompt": [prompt.id, prompt.text, prompt.negative_prompt],
        "sample": sample,
        "seed": seed,
    }
    if task != "text_to_image":
        sources = {name: source.sha256 for name, source in prompt.sources().items()}
        parts["edit"] = {"task": task, "strength": strength, "sources": sources}
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def plan_batches(
    *,
    generator: str,
    identity: Mapping[str, Any],
    prompts: Sequence[Prompt],
    seeds: Mapping[tuple[str, int], int],
    areas: Sequence[tuple[int, int]],
    batch_size: int,
    key_name: str | None = None,
    task: Task = "text_to_image",
    strength: float | None = None,
) -> tuple[Batch, ...]:
    """Lay out the batches of one generator, prompts in order, the samples of a prompt together.

    ``areas`` are the growing numbers of prompts and of samples of each planning, the last one that
    of all prompts. ``key_name`` is what the generator was called when its images were made, if
    that was another name. ``strength`` is that of prompts which have none of their own.
    """
    grows = all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(areas))
    if not grows or not areas or areas[-1][0] != len(prompts):
        raise ValueError(f"plannings {list(areas)} do not lead up to {len(prompts)} prompts")

    def job(prompt: Prompt, sample: int, batch: int) -> GenerationJob:
        seed, own = seeds[prompt.id, sample], strength_of(prompt, task, strength)
        return GenerationJob(
            key=image_key(key_name or generator, identity, prompt, sample, seed, task, own),
            generator=generator,
            prompt=prompt,
            sample=sample,
            seed=seed,
            batch=batch,
            task=task,
            strength=own,
        )

    batches: list[Batch] = []
    for places in grown_places(areas):
        for first in range(0, len(places), batch_size):
            index, chosen = len(batches), places[first : first + batch_size]
            jobs = tuple(job(prompts[place], sample, index) for place, sample in chosen)
            batches.append(Batch(generator=generator, index=index, size=batch_size, jobs=jobs))
    return tuple(batches)


def choose_headline(families: Mapping[str, str | None]) -> tuple[str, ...]:
    """The first GAN and the first diffusion model; without such a pair, the first two."""
    gan = [name for name, family in families.items() if family == "gan"]
    diffusion = [
        n for n, family in families.items() if family in ("diffusion", "distilled", "hybrid")
    ]
    return (gan[0], diffusion[0]) if gan and diffusion else tuple(families)[:2]
