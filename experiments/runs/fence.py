"""What one generator does wrong is kept from the others; a machine that fails ends the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from gandiff.common.errors import EnvironmentFailure, environment_failure, reason_of


@contextlib.contextmanager
def fenced(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hand whatever goes wrong inside to ``report``, as one line, and carry on behind the fence.

    ``folder`` is that of the run. Raises ``EnvironmentFailure`` for a full or read-only disk and
    exhausted memory; Ctrl-C passes as it is.
    """
    try:
        yield
    except Exception as error:
        if failure := machine_failure(error, folder):
            raise failure from error
        report(reason_of(error))


def machine_failure(error: Exception, folder: Path) -> EnvironmentFailure | None:
    """The failing machine behind an error, if it is that.

    A permission that is lacking outside of the run's folder is the generator's own matter.
    """
    if isinstance(error, PermissionError):
        name = error.filename
        if not isinstance(name, str | Path) or not Path(name).absolute().is_relative_to(folder):
            return None
    return environment_failure(error)
