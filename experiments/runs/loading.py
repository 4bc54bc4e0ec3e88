"""The generators of a run loaded one by one; those that share weights follow each other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Hashable, Iterable, Iterator

from gandiff.common.errors import RequestError, reason_of
from gandiff.experiments.runs.fence import machine_failure
from gandiff.experiments.runs.run import Loading, Run
from gandiff.models.generator import Generator
from gandiff.models.shared import is_loaded, kept


def in_turn(run: Run, names: Iterable[str]) -> Iterator[str]:
    """The names in an order in which generators of the same weights are neighbours.

    What they share stays loaded from the first of them to the last, and no longer.
    """
    groups: dict[Hashable, list[str]] = {}
    for name in names:
        key = _sharing_key(run, name)
        groups.setdefault(("nobody else", name) if key is None else key, []).append(name)
    for key, group in groups.items():
        with kept(key) if len(group) > 1 else contextlib.nullcontext():
            yield from group


@contextlib.contextmanager
def loaded(run: Run, name: str) -> Iterator[Generator]:
    """A generator of the run, loaded and then unloaded; raises ``RequestError``.

    ``run.loadings`` says what that took.
    """
    generator = run.generator(name)
    try:
        shares = is_loaded(generator.sharing_key(run.device, run.comparison.dtype))
        start = time.perf_counter()
        generator.load(run.device, run.comparison.dtype)
    except Exception as error:
        with contextlib.suppress(Exception):
            generator.unload()  # what it had read by then
        if machine_failure(error, run.folder):
            raise
        problem = f"generator {name!r} cannot be loaded: {reason_of(error)}"
        raise RequestError(problem) from error
    if not (shares and name in run.loadings):  # not what was loaded for it a moment ago
        run.loadings[name] = Loading(seconds=round(time.perf_counter() - start, 3), shared=shares)
    try:
        yield generator
    finally:
        generator.unload()


def _sharing_key(run: Run, name: str) -> Hashable | None:
    try:
        return run.generator(name).sharing_key(run.device, run.comparison.dtype)
    except (RequestError, OSError):  # which are reported where it is loaded
        return None
