"""How images of a folder are encoded; each field is an option of ``gandiff score`` and ``stats``.

The one definition of these options, for the command line and for Python; imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from gandiff.common.options import check_options, option

FOLDER_METRICS = "fid,kid"  # of two folders unless others are named


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """How images are encoded; raises ``RequestError`` for numbers out of their bounds.

    ``weights`` are local files by encoder (``{"inception": "inception.pth"}``), ``cache`` a folder
    that keeps features from call to call (None: they live as long as the call), ``max_images``
    caps each folder.
    """

    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    device: str = option("cpu", "For a folder: cpu, cuda, mps or auto.")
    batch_size: Annotated[int, Ge(1)] = option(
        32, "For a folder: images encoded at once.", metavar="N"
    )
    compile: bool = option(False, "For a folder: compile Inception first (a minute).")
    cache: Path | None = option(None, "For a folder: keep features here for the next call.")
    max_images: Annotated[int, Ge(2)] | None = option(
        None, "For a folder: draw N images of each, always the same.", metavar="N"
    )
    quiet: bool = option(False, "No progress on stderr.", names=("--quiet", "-q"))

    def __post_init__(self) -> None:
        """Check the options."""
        check_options(self)
