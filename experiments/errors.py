"""What can go wrong for reasons outside the program, and how a name is corrected.

``RequestError`` (exit code 2) says the request was wrong and nothing was done;
``EnvironmentFailure`` (exit code 1) says the machine failed and the work so far is kept.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

_KEPT = "The work so far is kept; "
RESUME_HINT = f"{_KEPT}run the same command again to go on"


class RequestError(Exception):
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


class EnvironmentFailure(Exception):
    """The machine failed (disk full, read-only, out of memory); the work so far is kept."""


def dotted(path: Iterable[str | int]) -> str:
    """Write a path of keys and list positions the way that ``--set`` reads it."""
    return ".".join(str(part) for part in path)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Name the nearest of the names, ``; did you mean 'gan'?``, or list them, ``; there is a, b``.

    The result continues a sentence; it is empty when there are no names at all.
    """
    known = sorted(set(names))
    folded = {candidate.casefold(): candidate for candidate in reversed(known)}
    asked = name.casefold()
    near = difflib.get_close_matches(asked, folded, n=1, cutoff=0.6)
    if not near and len(asked) > 2:
        near = [candidate for candidate in folded if candidate.startswith(asked)]
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    if not known:
        return ""
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"; there is {', '.join(known[:12])}{more}"


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
    """What a failure says, with the command that goes on in place of "the same command"."""
    return str(failure).replace(RESUME_HINT, f"{_KEPT}go on with: {command}")


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
