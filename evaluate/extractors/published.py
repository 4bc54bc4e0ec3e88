"""Weights that their owners publish: in a cache on this machine, else from their server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gandiff.evaluate.extractors.torch_inference import brief
from gandiff.evaluate.features.weights import HUB, Missing


def missing_file(path: Path, url: str, what: str, option: str) -> Missing | None:
    """What to say if the file that an address gives is not here."""
    if path.exists():
        return None
    return Missing(
        what=f"{what} are missing: {path} is not there",
        url=url,
        advice=f"fetch that file and give it with --weights {option}",
    )


def fetched(path: Path, url: str, missing: Missing | None) -> Path:
    """The file, fetched first if it is missing; ``MetricError`` if it cannot be."""
    import torch

    if missing is None:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        start = path.stem.rpartition("-")[2]  # the file's name ends with how its hash begins
        torch.hub.download_url_to_file(url, str(path), hash_prefix=start, progress=False)
    except (OSError, RuntimeError) as error:
        raise missing.error(brief(error)) from error
    return path


def missing_of_hub(repo: str, files: Iterable[str], what: str, option: str) -> Missing | None:
    """What to say if none of these files of a repository is in the hub's cache."""
    from huggingface_hub import errors, try_to_load_from_cache

    try:
        if any(isinstance(try_to_load_from_cache(repo, file), str) for file in files):
            return None
    except errors.HFValidationError:  # a path, of which loading says what is wrong
        return None
    return Missing(
        what=f"{what} are missing: they are not in the cache",
        url=f"{HUB}/{repo}",
        advice=f"give a file or folder with --weights {option}",
    )


def torch_file(url: str) -> Path:
    """Where torch's cache keeps the file of an address."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
