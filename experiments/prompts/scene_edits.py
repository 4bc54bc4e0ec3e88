"""The suite ``scene-edits``: changes of rendered scenes as prompts, with the pictures of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.models.generator import Task
from gandiff.models.tasks import SOURCES

RESOLUTION = 32  # px: what the shipped generators make


def scene_edit_rows(
    split: str,
    count: int,
    task: Task,
    *,
    resolution: int | None = None,
    control: str | None = None,
    kinds: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """The first ``count`` edits of a split, of these ``kinds`` in turn, as rows of a suite.

    Each asks for its target by the caption after. It has the pictures that ``task`` takes, the
    ``control`` image being the target's outlines (``outline``, as if None) or its depth; and for
    metrics the target, and for image to image, which has no mask, the region that may differ.
    Raises ``RequestError`` for kinds and resolutions that cannot be.
    """
    from gandiff.experiments.scenes.edits import EDIT_KINDS, edit_pictures, edit_suite

    rows = []
    try:
        for edit in edit_suite(split, count, kinds=kinds or EDIT_KINDS):
            row = edit.to_dict()
            if task != "text_to_image":
                drawn = edit_pictures(edit, resolution or RESOLUTION)
                pictures = {
                    "init_image": drawn.source,
                    "mask": drawn.mask,
                    "control_image": drawn.depth if control == "depth" else drawn.outlines,
                }
                row |= {field: pictures[field] for field in SOURCES[task]}
                row |= {"target": drawn.target}
                row |= {"region": drawn.mask} if task == "image_to_image" else {}
            rows.append(row)
    except ValueError as error:
        raise RequestError(f"suite scene-edits: {error}") from None
    return rows
