"""How the files of a folder of images are named, and how many samples of each prompt it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gandiff.common.picture_files import list_pictures
from gandiff.common.rows import find_metadata
from gandiff.experiments.plugins.registry import make_generator
from gandiff.experiments.prompts.suites import Prompt
from gandiff.experiments.runs.plan import plan_seeds, request_for
from gandiff.models.generator import GenerationRequest
from gandiff.models.names import Names
from gandiff.models.patterns import better_pattern

MOST = 4  # samples of a prompt in a first comparison, as in any


@dataclasses.dataclass(frozen=True)
class Fit:
    """Settings of a folder, and how many of the prompts have a file for each sample."""

    settings: Mapping[str, Any]
    counts: Sequence[int]

    @property
    def samples(self) -> int:
        """Samples that at least half as many prompts have as the first one, 1 at least."""
        fewer = (n for n, count in enumerate(self.counts) if 2 * count < max(self.counts[0], 1))
        return max(1, next(fewer, len(self.counts)))


def table_of(settings: Mapping[str, Any]) -> Path | None:
    """The file by which a folder of images says which picture is of which prompt."""
    folder = Path(settings["folder"])
    if settings.get("mapping"):
        return folder / str(settings["mapping"])
    return find_metadata(folder) or find_metadata(folder / "train")


def fit_folder(
    name: str, settings: Mapping[str, Any], prompts: Sequence[Prompt], samples: int | None
) -> Fit:
    """The settings with the pattern that finds most files of the prompts, if none is given; with a
    number of ``samples`` it looks for so many, else for up to ``MOST``.

    Raises ``RequestError`` for a folder that cannot be used.
    """
    most = samples or MOST
    requests = _requests(prompts, most)
    best = _fit(name, settings, requests, most)
    is_given = settings.get("pattern") or table_of(settings)
    if is_given or best.counts[0] == len(prompts):
        return best
    for pattern in _patterns(settings["folder"], requests):
        other = _fit(name, {**settings, "pattern": pattern}, requests, most)
        if (other.counts[0], other.samples) > (best.counts[0], best.samples):
            best = other
    return best


def _requests(prompts: Sequence[Prompt], most: int) -> list[GenerationRequest]:
    seeds = plan_seeds(0, (prompt.id for prompt in prompts), most)
    return [
        request_for(prompt, sample, seeds[prompt.id, sample])
        for prompt in prompts
        for sample in range(most)
    ]


def _patterns(folder: str, requests: Sequence[GenerationRequest]) -> Iterator[str]:
    """The likeliest pattern with samples, and that of one file for each prompt."""
    files = Names(list_pictures(Path(folder)).names, endings=True)
    for chosen in (requests, [request for request in requests if request.sample == 0]):
        if (better := better_pattern(files, chosen, set())) is not None:
            yield better[0]


def _fit(
    name: str, settings: Mapping[str, Any], requests: Sequence[GenerationRequest], most: int
) -> Fit:
    generator = make_generator(name, "folder", settings)
    one_file = "{s" not in str(settings.get("pattern") or "{sample}")
    looked_up = [r for r in requests if not (one_file and r.sample)]
    generator.preview(looked_up)
    counts = [0] * most
    for request in looked_up:
        counts[request.sample] += generator.source(request) is not None
    return Fit(settings, counts)
