"""What can go wrong for reasons outside the program: one tree of errors under ``GandiffError``.

``RequestError`` (exit code 2) says the request was wrong and nothing was done;
``EnvironmentFailure`` (exit code 1) says the machine failed and the work so far is kept.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from typing import Any

_KEPT = "The work so far is kept; "
RESUME_HINT = f"{_KEPT}run the same command again to continue"


class GandiffError(Exception):
    """Anything that gandiff reports in one sentence instead of a traceback."""


class GeneratorError(GandiffError):
    """A generator cannot be built or loaded; the message says what was found and what to do."""


class MetricError(GandiffError):
    """A metric was asked for that does not exist or cannot be computed on what there is."""


class RequestError(GandiffError):
    """The request was wrong: one sentence saying what was found, where, and what was expected."""


class Diverged(RequestError):
    """A training became non-finite, and going back to its last checkpoint did not help."""


class SettingError(RequestError):
    """One field of a request is wrong; ``field`` is its path inside the part that was checked."""

    def __init__(self, field: tuple[str | int, ...], problem: str) -> None:
        self.field = field
        self.problem = problem
        where = dotted(field)
        super().__init__(f"{where}: {problem}" if where else problem)


class EnvironmentFailure(GandiffError):
    """The machine failed (disk full, read-only, out of memory); the work so far is kept."""


def dotted(path: Iterable[str | int]) -> str:
    """Write a path of keys and list positions the way that ``--set`` reads it."""
    return ".".join(str(part) for part in path)


def show(value: Any, limit: int = 60) -> str:
    """Print a value found in a file, shortened; a mapping or a list by its kind."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing (null)"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def printable(text: str) -> str:
    """A message that can be written as UTF-8: names of files may hold bytes that are not."""
    return text.encode(errors="backslashreplace").decode()


def environment_failure(error: BaseException) -> EnvironmentFailure | None:
    """Translate a full or read-only disk or exhausted memory; None for every other error."""
    if isinstance(error, EnvironmentFailure):
        return error
    number = _system_number(error)
    if number in _DISK:
        path = getattr(error, "filename", None)
        where = f" ({path})" if path else ""
        return EnvironmentFailure(f"{_DISK[number]}{where}. {RESUME_HINT}")
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return EnvironmentFailure(
            f"memory ran out ({_first_line(error)}); use a smaller batch size in a new folder, "
            f"or free memory. {RESUME_HINT}"
        )
    return None


def with_command(failure: EnvironmentFailure, command: str) -> str:
    """What a failure says, with the command that continues it in place of "the same command"."""
    return str(failure).replace(RESUME_HINT, f"{_KEPT}continue with: {command}")


def reason_of(error: Exception) -> str:
    """An error on one line; our own sentences need no name of a type."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, GandiffError) else f"{type(error).__name__}: {text}")[:500]


_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk cannot be read or written",
}


def _system_number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    # safetensors raises no OSError where it cannot write, but says its number.
    named = type(error).__name__ == "SafetensorError"
    found = re.search(r"\(os error (\d+)\)", str(error)) if named else None
    return int(found[1]) if found else None


def _is_out_of_memory(error: BaseException) -> bool:
    # torch raises OutOfMemoryError on an accelerator and a plain RuntimeError from its CPU
    # allocator.
    text = str(error).casefold()
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError)
        and any(
            sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
        )
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
