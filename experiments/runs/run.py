"""A run in memory: a comparison, its prompts, its plan, its folder and its record."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gandiff.common.contents import ContentLedger
from gandiff.common.errors import RequestError, printable
from gandiff.common.run_record import RECORD, ImageCounts, RunRecord
from gandiff.experiments.config.types import Comparison
from gandiff.experiments.plugins.registry import make_generator
from gandiff.experiments.prompts.suites import PromptSuite
from gandiff.experiments.runs.commits import pinned
from gandiff.experiments.runs.freshness import Outdated, outdated_images
from gandiff.experiments.runs.mend import Mending
from gandiff.experiments.runs.plan import Batch, GenerationJob
from gandiff.experiments.runs.preview import preview
from gandiff.experiments.runs.store import ImageEntry, RunStore
from gandiff.models.generator import Generator, GeneratorInfo, Preview


class Loading(NamedTuple):
    """What loading a generator took; ``shared`` says that another one had read the weights."""

    seconds: float
    shared: bool

    def __str__(self) -> str:
        """Say it in a sentence."""
        how = "it shares weights that are loaded" if self.shared else "its weights were read"
        return f"ready in {self.seconds:.2f} s: {how}"


@dataclasses.dataclass(kw_only=True)
class Run:
    """A comparison under way; stages add to the folder and to ``record``, which is run.json."""

    comparison: Comparison
    suite: PromptSuite
    device: str
    store: RunStore
    batches: Mapping[str, Sequence[Batch]]  # of each generator
    record: RunRecord
    objects: Mapping[str, Generator] = dataclasses.field(default_factory=dict)
    command: str = ""  # that this is done for
    mending: Mending = dataclasses.field(default_factory=Mending)
    ledger: ContentLedger = dataclasses.field(default_factory=ContentLedger)
    looks_outside: bool = False  # whether images are compared with the files that they came from
    outdated: dict[str, Mapping[str, Outdated]] = dataclasses.field(default_factory=dict)
    held: dict[str, Any] = dataclasses.field(default_factory=dict)  # what one has loaded already
    unable: dict[str, str] = dataclasses.field(default_factory=dict, init=False)  # and why
    previews: dict[str, Preview] = dataclasses.field(default_factory=dict, init=False)
    loadings: dict[str, Loading] = dataclasses.field(default_factory=dict, init=False)
    _built: dict[str, Generator] = dataclasses.field(default_factory=dict, init=False)
    _missing: dict[str, list[Batch]] = dataclasses.field(default_factory=dict, init=False)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.store.folder

    def generator(self, name: str) -> Generator:
        """The generator of this name, built once and not loaded; raises ``RequestError``.

        It has looked at what the run will ask for, which ``previews`` tell.
        """
        if name not in self._built:
            made = self.objects[name] if name in self.objects else self._build(name)
            self.previews[name] = preview(made, self.comparison, self.suite)
            self._built[name] = made
        return self._built[name]

    def settings(self, name: str) -> dict[str, Any]:
        """What a generator is built with; what is on the hub at the commits of the other images."""
        config = self.comparison.generators[name]
        planned = self.record.plan.generators[name]
        if config.type != "diffusers":
            return dict(config.settings)
        return pinned(config.settings, {**planned.assumed, **planned.identity})

    def is_gone(self, name: str) -> bool:
        """Whether it cannot be asked again: a Python object of an earlier process, and results of
        before.
        """
        object_gone = self.comparison.generators[name].type == "python" and name not in self.objects
        return object_gone or self.is_kept(name)

    def is_kept(self, name: str) -> bool:
        """Whether it has the results of a generator of before, of which nothing is made again."""
        return bool(self.record.plan.generators[name].kept_from)

    def is_lookup(self, name: str) -> bool:
        """Whether its images are files that were made elsewhere, whatever family made them."""
        facts = self.record.generators.get(name, {})
        is_folder = self.comparison.generators[name].type == "folder"
        return is_folder or facts.get("cost") == "lookup" or facts.get("family") == "folder"

    def missing(self, name: str) -> list[Batch]:
        """The batches that are still to be made; every image is checked once, when first asked."""
        if name not in self._missing:
            self._missing[name] = self._look(name)
        return self._missing[name]

    def has(self, job: GenerationJob) -> bool:
        """Whether an image is there as it was written and as its file is, or failed."""
        return job.key not in self.outdated.get(job.generator, ()) and self.store.has(job)

    def mark_done(self, batch: Batch) -> None:
        """Note that a batch is no longer missing."""
        waiting = self._missing[batch.generator]
        self._missing[batch.generator] = [b for b in waiting if b.index != batch.index]

    def entries(self, name: str) -> list[ImageEntry]:
        """The images of a generator made so far, in the order of the plan."""
        jobs = (job for batch in self.batches[name] for job in batch.jobs)
        return [self.store.entries[job.key] for job in jobs if job.key in self.store.entries]

    def update(self, **fields: Any) -> None:
        """Replace fields of run.json."""
        self.record = dataclasses.replace(self.record, **fields)
        self.store.write_json(RECORD, self.record.to_json())

    def note_command(self) -> None:
        """Note that the command makes or measures something, for who wants to do it again."""
        if self.command and self.command not in self.record.commands:
            self.update(commands=(*self.record.commands, self.command))

    def warn(self, message: str) -> None:
        """Note something odd that did not stop the run, once."""
        message = printable(message)
        if message not in self.record.warnings:
            self.update(warnings=(*self.record.warnings, message))

    def describe(self, name: str, info: GeneratorInfo) -> None:
        """Record what is known of a generator."""
        configured = self.comparison.generators[name].settings
        facts = {f.name: getattr(info, f.name) for f in dataclasses.fields(info)} | {
            "name": name,
            "abilities": sorted(info.abilities),
            "training": dict(info.training) if info.training else None,
            "settings": dict(info.settings or configured),
        }
        if name in self.loadings:
            facts["loading"] = self.loadings[name]._asdict()
        known = {**self.record.generators, name: facts}
        known = {n: known[n] for n in self.batches if n in known}
        self.update(generators=known)

    def count(self) -> None:
        """Record how many images of each generator were planned, made, failed and filtered out."""
        counts = {}
        for name, batches in self.batches.items():
            made: Counter[str] = Counter(entry.status for entry in self.entries(name))
            planned = sum(len(batch.jobs) for batch in batches)
            counts[name] = ImageCounts(planned=planned, **made)
        self.update(counts=counts)

    def _look(self, name: str) -> list[Batch]:
        if self.is_kept(name):
            return []
        batches = self.batches[name]
        if self.looks_outside and self.reads_files(name):
            generator = self.generator(name)
            self.outdated[name] = outdated_images(
                batches, self.store.entries, generator, self.ledger
            )
        return self.store.missing(batches, self.outdated.get(name, {}))

    def reads_files(self, name: str) -> bool:
        """Whether its images are read from files, as far as is known without building it."""
        if self.comparison.generators[name].type == "folder":
            return True
        given = self.objects.get(name)
        looks_up = given is not None and type(given).source is not Generator.source
        return looks_up or any(entry.source for entry in self.entries(name))

    def _build(self, name: str) -> Generator:
        config = self.comparison.generators[name]
        if self.is_kept(name):
            before = self.record.plan.generators[name].kept_from
            raise RequestError(
                f"{name!r} has the results of {before!r} as it was before, which is gone; nothing "
                "of it can be made again"
            )
        if config.type == "python":
            raise RequestError(
                f"generator {name!r} was a Python object, which a run folder cannot hold; "
                "run the script that made it again"
            )
        return make_generator(name, config.type, self.settings(name), self.comparison.folder)
