"""What the torch encoders share: exact arithmetic, hashes of weight files, short error texts."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def exact_inference() -> Iterator[None]:
    """No gradients, and on CUDA no TF32 and no algorithm that varies from call to call."""
    import torch

    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.inference_mode(), flags:
        yield


def brief(error: Exception) -> str:
    """The first line of what a library said, or the kind of error where it said nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def file_sha256(path: Path) -> str:
    """Sha256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
