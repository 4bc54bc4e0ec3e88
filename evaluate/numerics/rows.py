"""Matrices of features that need not be in memory as a whole."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


@runtime_checkable
class Rows(Protocol):
    """A matrix of features, n images by d, that is read in slices; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n and d."""

    def __getitem__(self, rows: slice, /) -> Float[np.ndarray, "n d"]:
        """The features of some images in a row."""
