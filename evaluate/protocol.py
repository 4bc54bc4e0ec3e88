"""The protocol guard: two numbers of one metric are compared only if they were measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gandiff.common.errors import MetricError
from gandiff.evaluate.result import REFERENCE_COPIES, MetricResult

# Fields of a protocol that do not decide whether two numbers may be compared.
UNDECISIVE = frozenset(
    {
        "other_judge",  # stands beside the value
        "other_sha256",
        "interval",  # free text on how the error bars came about; the value is the same without
        "p90",  # measured like the value itself, so it is never the same twice
        "batch_size",  # the fastest of ``batch_sizes``, found by measuring; those do decide
        "rounds",  # when each process ran; how many moves the error of the median alone
        "round_medians",  # what was measured
        "others_busy",  # shares of the cores, measured, too
        "calls",  # how many calls were timed; it moves the error of a median, not the median
        "warmup_calls",  # as many as fit into a time; how long that is, and the fewest, decide
        "by network",  # what each network's evaluations come to, measured as their sum is
        "images",  # of training, a fact of the model; those measured are no field of the protocol
        REFERENCE_COPIES,  # a fact of the images, which stands against a verdict on them
        "prompts",  # counts that follow from the suite, whose own hash decides
        "truncated_prompts",
    }
)
# Fields that older numbers do not have. Nearly all images have no transparency, so that their
# features are the same under both rules; the rule for frames was the same before it was recorded.
# Which files torchmetrics read was not, nor how many threads computed.
LATE = ("alpha", "frames", "files_sha256", "threads")
_SHOWN = 12  # letters of a hash


def difference_in_protocol(
    a: MetricResult, b: MetricResult, *, equal_images: bool = False
) -> str | None:
    """The first field in which two results of one metric were measured differently; None: in none.

    ``equal_images`` holds the number of images for such a field (``Metric.compares_sets``). A field
    that only one of them has differs. A result without a value was not measured, in whatever way.
    """
    if a.value is None or b.value is None:
        return None
    ours, theirs = (_decisive(result, equal_images) for result in (a, b))
    fields = [*ours, *(field for field in theirs if field not in ours)]
    alike = {f for f in LATE if None in (ours.get(f), theirs.get(f))}
    return next(
        (f for f in fields if f not in alike and _plain(ours.get(f)) != _plain(theirs.get(f))), None
    )


def check_comparable(
    a: MetricResult,
    b: MetricResult,
    *,
    names: tuple[str, str] = ("one", "the other"),
    equal_images: bool = False,
) -> None:
    """Raise ``MetricError`` naming metric, field and both values where the two were measured
    differently.

    ``names`` say where each comes from (``measured with resize 'clean' in NAME``).
    """
    field = difference_in_protocol(a, b, equal_images=equal_images)
    if field is not None:
        ours, theirs = (_decisive(result, equal_images).get(field) for result in (a, b))
        raise MetricError(not_comparable(a.metric, field, (ours, theirs), names))


def not_comparable(metric: str, field: str, values: tuple[Any, Any], names: tuple[str, str]) -> str:
    """The line that says why two numbers are not compared; None stands for a missing value."""
    ours, theirs = (_show(_plain(value)) for value in values)
    if ours == theirs:  # two hashes that begin alike
        ours, theirs = (repr(_plain(value)) for value in values)
    return (
        f"{metric} was measured with {field} {ours} in {names[0]} and {theirs} in {names[1]}; "
        "such numbers are not comparable"
    )


def _decisive(result: MetricResult, equal_images: bool) -> Mapping[str, Any]:
    """All that two comparable numbers must share."""
    kept = {key: value for key, value in result.protocol.items() if key not in UNDECISIVE}
    counts = {"images": result.images} if equal_images else {}
    return {"metric": result.metric, "unit": result.unit, **counts, **kept}


def _plain(value: Any) -> Any:
    """As it comes back from a file, where a tuple is a list."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str) and len(value) >= 32 and value.isalnum():
        return f"{value[:_SHOWN]}\u2026"
    return repr(value) if isinstance(value, str) else str(value)
