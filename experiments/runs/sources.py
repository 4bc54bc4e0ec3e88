"""Copies of the pictures that prompts bring along, so that a run needs nothing but its folder."""

from __future__ import annotations

from gandiff.common.files import write_atomically
from gandiff.experiments.prompts.sources import Source, decode, pixels_sha256
from gandiff.experiments.prompts.suites import PromptSuite
from gandiff.experiments.runs.store import png


def keep_sources(suite: PromptSuite) -> None:
    """Write the copies of a suite's pictures that are missing or not what was written."""
    each = {
        source.copy: source for prompt in suite.prompts for source in prompt.pictures().values()
    }
    for place, source in each.items():
        if place is None or _is_whole(source):
            continue
        place.parent.mkdir(exist_ok=True)
        pixels = source.read()
        write_atomically(place, png(pixels))


def _is_whole(source: Source) -> bool:
    """Whether the copy shows the picture."""
    if source.copy is None or not source.copy.is_file():
        return False
    try:
        return pixels_sha256(decode(source.field, source.copy.read_bytes())) == source.sha256
    except (OSError, ValueError):
        return False
