"""Where the weights that settings name lie: a directory, or a hub id at a commit; light."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from gandiff.models.diffusion.index import PipelineIndex, check_directory
from gandiff.models.diffusion.parts import PICKLES, WEIGHTS
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.weights import combined_sha256, find_weights, missing_weights

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a pipeline is loaded from."""

    name: str  # as diffusers reads it: a directory or a hub id
    directory: Path | None = None
    commit: str | None = None  # of a hub id
    index: PipelineIndex | None = None

    @property
    def page(self) -> str | None:
        """The page on the hub; None for a directory."""
        return f"https://huggingface.co/{self.name}" if self.directory is None else None

    def checksum(self) -> str | None:
        """Hash of everything that is loaded from here."""
        if self.directory is None:
            return None if self.commit is None else f"hub:{self.commit}"
        own = combined_sha256(self.directory, WEIGHTS)
        return own or combined_sha256(self.directory, PICKLES)


def find_source(settings: DiffusersSettings) -> Source:
    """Find the pipeline that settings name and check everything that its small files tell.

    Raises ``GeneratorError`` for weights that are missing, pickled without leave, or not
    text-to-image. Of a hub id the index is asked for, which is small: a pipeline that is not
    there shows before anything is made.
    """
    directory = find_weights(settings.pipeline)
    if directory is not None:
        index = check_directory(
            directory,
            allow_pickle=settings.allow_pickle,
            variant=settings.variant,
            given=settings.extra,
        )
        return Source(name=str(directory), directory=directory, index=index)
    if not _HUB_ID.match(settings.pipeline):
        raise missing_weights(settings.pipeline)
    from gandiff.models.diffusion.hub import hub_index

    place = settings.pipeline, settings.revision, settings.local_files_only
    commit, index = hub_index(*place, given=settings.extra)
    return Source(name=settings.pipeline, commit=commit, index=index)
