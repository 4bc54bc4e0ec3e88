"""What the text encoder learns to read from captions of scenes: the facts, and what stands where.

What stands at the top or at the left follows from the two objects and from their relation, but
only from all of them together. A denoiser that has to find this out while it learns to draw does
not in half a million pictures: it puts two objects above one another, in either order.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gandiff.experiments.scenes.facts import INVERSE_RELATION, LABELS, Facts

_PLACES = ("left", "right", "top", "bottom")  # where the subject of each relation stands
_KINDS = ("shape", "colour", "size")


def fact_targets(facts: Facts) -> dict[str, Tensor]:
    """Class indices of what captions state; 0 is unstated."""
    out = {"count": np.maximum(facts.count, 0)}
    out |= {"background": facts.background + 1, "relation": facts.relation + 1}
    rows = np.arange(len(facts))
    for kind in _KINDS:
        labels = getattr(facts, kind) + 1
        out |= {f"{kind}_{mention}": labels[:, mention] for mention in range(2)}
        for place, at in _mentions_by_place(facts).items():
            out[f"{kind}_{place}"] = np.where(at < 0, 0, labels[rows, at])
    return {k: torch.from_numpy(v.astype(np.int64)) for k, v in out.items()}


def fact_classes() -> dict[str, int]:
    """How many classes each fact has."""
    sizes = {kind: len(labels) + 1 for kind, labels in LABELS.items()}
    whole = {"count": 3, "background": sizes["background"], "relation": sizes["relation"]}
    return whole | {f"{k}_{at}": sizes[k] for k in _KINDS for at in (0, 1, *_PLACES)}


def _mentions_by_place(facts: Facts) -> dict[str, Int64[np.ndarray, " n"]]:
    """Which mention stands at each place, 0 or 1; -1 where the caption does not say."""
    stated = facts.relation >= 0
    opposite = np.where(stated, INVERSE_RELATION[facts.relation], -1)
    return {
        place: np.select([stated & (facts.relation == r), stated & (opposite == r)], [0, 1], -1)
        for r, place in enumerate(_PLACES)
    }
