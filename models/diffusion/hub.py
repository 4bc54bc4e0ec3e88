"""Ask the hub, or its cache on this machine, what a repository holds; imports nothing heavy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from gandiff.common.errors import GeneratorError
from gandiff.common.hub_cache import quick_hub
from gandiff.models.diffusion.index import PipelineIndex, read_index
from gandiff.models.diffusion.parts import INDEX


def hub_index(
    repo: str,
    revision: str | None,
    local_files_only: bool,
    given: Iterable[str] = (),
    *,
    any_task: bool = False,
) -> tuple[str, PipelineIndex]:
    """Fetch ``model_index.json`` of a hub repository, check the task, and return its commit and
    what the index says; ``given`` and ``any_task`` are those of ``read_index``.

    This is a small file: a pipeline that is not text-to-image is refused before its weights are
    downloaded.
    """
    path = hub_file(repo, INDEX, revision, local_files_only)
    index = read_index(path, f"the hub pipeline {repo!r}", given, any_task=any_task)
    return path.parent.name, index  # the cache keeps snapshots/<commit>/model_index.json


def hub_file(
    repo: str,
    name: str,
    revision: str | None,
    local_files_only: bool,
    kind: str = "pipeline",
) -> Path:
    """Fetch a file of a hub repository, or find it in the cache; raises ``GeneratorError``.

    ``kind`` is what the repository is expected to hold, for the message.
    """
    from huggingface_hub import errors, hf_hub_download

    here = f"the hub {kind} {repo!r}"
    advice = (
        f"give the path of a directory that holds the {kind}, or run "
        f"'hf download {repo}' once where there is a network"
    )
    try:
        with quick_hub():
            path = hf_hub_download(repo, name, revision=revision, local_files_only=local_files_only)
    except errors.GatedRepoError as error:
        raise GeneratorError(
            f"{here} is gated: accept its licence on its page and log in with 'hf auth login'"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise GeneratorError(
            f"cannot get {name} of {here}: it is not in the local cache, and the hub is not "
            f"reachable or not allowed; {advice}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise GeneratorError(f"{here} has no revision {revision!r}") from error
    except errors.EntryNotFoundError as error:
        what = ", so it is not a pipeline of diffusers" if name == INDEX else ""
        raise GeneratorError(f"{here} has no {name}{what}") from error
    except errors.RepositoryNotFoundError as error:
        raise GeneratorError(f"{here} does not exist or is private; {advice}") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise GeneratorError(
            f"cannot get {name} of {here}: {first_line(error)}; {advice}"
        ) from error
    return Path(path)


def fetch_small_files(
    repo: str, names: Sequence[str], revision: str | None, local_files_only: bool
) -> None:
    """Fetch those files of a repository that it has; what cannot be fetched is not there."""
    from huggingface_hub import errors, hf_hub_download

    for name in names:
        with (
            quick_hub(),
            contextlib.suppress(errors.HfHubHTTPError, errors.EntryNotFoundError, OSError),
        ):
            hf_hub_download(repo, name, revision=revision, local_files_only=local_files_only)


def first_line(error: BaseException) -> str:
    """Return the first line that says something; the loaders' errors run over many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
