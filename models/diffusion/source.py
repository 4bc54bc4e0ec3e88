"""What weights are loaded from: directories, files, or hub ids at a commit; light."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping
from pathlib import Path

from gandiff.models.diffusion.classes import pipeline_class
from gandiff.models.diffusion.index import PipelineIndex
from gandiff.models.diffusion.parts import PICKLES, WEIGHTS
from gandiff.models.shared import files_state
from gandiff.models.weights import combined_sha256, original_sha256

_SMALL = (".json", ".txt", ".model")  # what a single file leaves to a directory beside it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a pipeline, or the weights that are put into one, are loaded from."""

    name: str  # as diffusers reads it: a directory, a file or a hub id
    directory: Path | None = None
    file: Path | None = None
    commit: str | None = None  # of a hub id
    index: PipelineIndex | None = None
    more: Mapping[str, Source] = dataclasses.field(default_factory=dict)  # by the setting
    stages: tuple[Source, ...] = ()
    as_saved: bool = False  # of the class that its index names, whether or not that reads text
    without: tuple[str, ...] = ()  # parts that are not loaded

    @property
    def page(self) -> str | None:
        """The page on the hub; None for what lies on this machine."""
        on_hub = self.directory is None and self.file is None and not self.stages
        return f"https://huggingface.co/{self.name}" if on_hub else None

    @property
    def class_name(self) -> str:
        """The class of the pipeline as its index says it; empty where that is not known."""
        return "" if self.index is None else self.index.class_name

    @property
    def is_decoder(self) -> bool:
        """Whether it makes images of what another pipeline, its prior, makes of a text."""
        known = pipeline_class(self.class_name)
        return known is not None and known.is_decoder and self.called != self.class_name

    @property
    def called(self) -> str:
        """The class that makes images from text out of it."""
        return "" if self.index is None else self.index.called

    @property
    def generating(self) -> str:
        """The class that is loaded, whether or not that makes images from text."""
        return self.class_name if self.as_saved else self.called

    def checksum(self) -> str | None:
        """Hash of everything that is loaded; None as long as a part of it has none."""
        stages = {f"stages.{i}": stage for i, stage in enumerate(self.stages)}
        parts = {name: part.checksum() for name, part in {**self.more, **stages}.items()}
        own = self._own_checksum()
        if not parts:
            return own
        if None in parts.values() or (own is None and not stages):
            return None
        lines = sorted(f"{name}\0{digest}\n" for name, digest in {**parts, "": own}.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def places(self) -> Hashable:
        """What is read, in the state that it has now on this machine."""
        local = self.directory or self.file
        inner = [(name, part.places) for name, part in sorted(self.more.items())]
        stages = [stage.places for stage in self.stages]
        state = files_state(local) if local else ()
        return (self.name, self.commit, state, *inner, *stages)

    def _own_checksum(self) -> str | None:
        if self.directory is not None:
            kinds = (WEIGHTS, PICKLES, _SMALL)
            hashes = (combined_sha256(self.directory, endings) for endings in kinds)
            return next(filter(None, hashes), None)
        if self.file is not None:
            return original_sha256(self.file)
        return None if self.commit is None else f"hub:{self.commit}"
