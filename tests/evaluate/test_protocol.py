"""The protocol guard: what keeps two numbers from being compared, and what does not."""

import dataclasses
import json
from typing import Any

import pytest

from gandiff.common.errors import MetricError
from gandiff.evaluate.protocol import UNDECISIVE, check_comparable, difference_in_protocol
from gandiff.evaluate.result import MetricResult

BASE = {
    "encoder": "inception",
    "weights_sha256": "ab12" * 16,
    "resize": "legacy_tensorflow",
    "reference_sha256": "0f" * 32,
    "interval": "bootstrap over prompts",
}


def result(metric: str = "fd(encoder=inception)", **changes: Any) -> MetricResult:
    fields = {"value": 20.0, "images": 400, "unit": "", "protocol": BASE, **changes}
    return MetricResult(metric=metric, **fields)


def measured(**changes: Any) -> MetricResult:
    protocol = {key: value for key, value in {**BASE, **changes}.items() if value is not ...}
    return result(protocol=protocol)


def test_the_same_protocol_is_comparable_whatever_the_values() -> None:
    other = result(value=3.0, low=1.0, high=5.0, note="x", references=9, direction="lower")
    assert difference_in_protocol(result(), other) is None
    check_comparable(result(), other, equal_images=True)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (measured(resize="clean"), "resize"),
        (measured(weights_sha256="cd34" * 16), "weights_sha256"),
        (measured(reference_sha256=...), "reference_sha256"),
        (measured(prefix="a photo of "), "prefix"),
        (result("fd(encoder=scenes)"), "metric"),
        (result(unit="cosine"), "unit"),
    ],
)
def test_a_field_that_differs_is_named_from_both_sides(other: MetricResult, field: str) -> None:
    assert difference_in_protocol(result(), other) == field
    assert difference_in_protocol(other, result()) == field
    with pytest.raises(MetricError, match=field):
        check_comparable(result(), other)


@pytest.mark.parametrize("field", sorted(UNDECISIVE))
def test_what_does_not_decide_is_left_out(field: str) -> None:
    one, other = measured(**{field: "x"}), measured(**{field: "y"})
    assert difference_in_protocol(one, other) is None
    assert difference_in_protocol(one, measured(**{field: ...})) is None


def test_equal_numbers_of_images_count_only_where_the_value_depends_on_them() -> None:
    other = result(images=399)
    assert difference_in_protocol(result(), other) is None
    assert difference_in_protocol(result(), other, equal_images=True) == "images"
    with pytest.raises(MetricError, match="with images 400 in a and 399 in b"):
        check_comparable(result(), other, names=("a", "b"), equal_images=True)


def test_a_protocol_read_from_a_file_is_the_one_that_was_written() -> None:
    one = measured(sizes=(1, 8), nested={"a": (2,)})
    other = dataclasses.replace(one, protocol=json.loads(json.dumps(one.protocol)))
    assert difference_in_protocol(one, other) is None


def test_what_was_not_measured_has_no_protocol_to_differ() -> None:
    missing = result(value=None, protocol={}, note="not measured: no weights")
    assert difference_in_protocol(result(), missing, equal_images=True) is None


def test_the_error_is_one_line_with_metric_field_and_both_values() -> None:
    with pytest.raises(MetricError) as caught:
        check_comparable(result(), measured(weights_sha256="cd34" * 16), names=("runs/a", "runs/b"))
    assert str(caught.value) == (
        "fd(encoder=inception) was measured with weights_sha256 ab12ab12ab12\u2026 in runs/a and "
        "cd34cd34cd34\u2026 in runs/b; such numbers are not comparable"
    )


def test_hashes_that_begin_alike_are_shown_whole() -> None:
    one, other = measured(weights_sha256="a" * 63 + "b"), measured(weights_sha256="a" * 64)
    with pytest.raises(MetricError, match=r"a{63}b.* and .*a{64}"):
        check_comparable(one, other)


def test_a_missing_field_is_shown_as_nothing() -> None:
    with pytest.raises(MetricError, match="with prefix nothing in one and 'x' in the other"):
        check_comparable(measured(), measured(prefix="x"))
