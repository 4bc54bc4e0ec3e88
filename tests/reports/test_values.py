"""Numbers and text as a person reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.evaluate.result import About, MetricResult, split_metric
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.values import (
    arrow,
    explain,
    scale_of,
    show_interval,
    show_ratio,
    show_value,
    visible,
)


@pytest.mark.parametrize(
    ("metric", "unit", "value", "low", "high", "shown", "interval"),
    [
        ("scene_accuracy/all", "", 0.912, 0.88, 0.94, "91.2 %", "88.0 to 94.0"),
        ("scene_accuracy/all", "%", 91.2, 88.0, 94.0, "91.2 %", "88.0 to 94.0"),
        ("kid(encoder=scenes)", "", -0.00004, -0.0012, 0.0011, "-0.00004", "-0.00120 to 0.00110"),
        ("fd(encoder=scenes)", "", 1234.5, None, None, "1,234", ""),
        ("latency_seconds", "s", 0.0074, 0.0072, 0.0076, "7.4 ms", "7.2 to 7.6"),
        ("training_seconds", "s", 1740, None, None, "29 min", ""),
        ("training_seconds", "s", 4 * 3600, None, None, "4.00 h", ""),
        ("peak_memory_bytes", "bytes", 3.5 * 2**30, None, None, "3.50 GiB", ""),
        ("latency_seconds", "s", 0.1234, 0.0081, 0.1512, "120 ms", "8.1 to 150"),
        ("parameters", "", 1_310_000, None, None, "1.31 M", ""),
        ("images_per_second", "1/s", 324.4, None, None, "320 /s", ""),
        ("nfe", "", 40, None, None, "40", ""),
        ("vendi(encoder=scenes)", "images", 36.04, None, None, "36.0 images", ""),
        ("fd(encoder=scenes)", "", 0.0, None, None, "0.00", ""),
        ("brightness", "levels", 127.17, 126.89, 127.46, "127.2 levels", "126.9 to 127.5"),
        ("scene_accuracy/all", "", 0.9991, 0.9989, 0.9993, "99.91 %", "99.89 to 99.93"),
        ("fd(encoder=scenes)", "", 206.0, 206.0, 206.0 + 1e-10, "206", "206 to 206"),
    ],
)
def test_values_have_units_and_decimals_that_fit(metric, unit, value, low, high, shown, interval):
    result = MetricResult(
        metric=metric,
        value=float(value),
        low=low,
        high=high,
        unit=unit,
        about=about_metric(metric),
    )
    assert show_value(result) == shown
    assert show_interval(result) == interval


@given(
    st.sampled_from(["scene_accuracy/all", "fd(encoder=scenes)", "kid(encoder=scenes)", "vendi"]),
    st.floats(-1e5, 1e5),
    st.floats(1e-3, 10),
    st.floats(0, 1),
)
def test_ends_of_an_interval_are_written_apart_in_their_order(metric, low, width, where):
    high = low + width
    value = min(high, max(low, low + where * width))
    result = MetricResult(
        metric=metric, value=value, low=low, high=high, about=about_metric(metric)
    )
    scale = scale_of(result)
    ends = [scale.rounded(number) for number in (low, value, high)]
    assert ends[0] <= ends[1] <= ends[2]
    assert ends[0] < ends[2]
    assert show_interval(result) == f"{scale.number(low)} to {scale.number(high)}"


def test_what_was_not_measured_has_no_number():
    result = MetricResult(metric="fd(encoder=scenes)", value=None, low=1.0, high=2.0)
    assert (show_value(result), show_interval(result)) == ("not measured", "")


def test_ratios():
    assert [show_ratio(r) for r in (1.214, 31.88, 1234.5)] == ["1.21", "31.9", "1,234"]


def test_metric_names_split_though_a_parameter_holds_a_slash():
    assert split_metric("fd(encoder=/models/a)") == ("fd", "(encoder=/models/a)", "")
    assert split_metric("scene_accuracy(judge=a)/shape") == ("scene_accuracy", "(judge=a)", "shape")


def test_every_metric_is_explained_with_its_direction():
    lower = MetricResult(metric="fd(encoder=scenes)", value=1.0, direction="lower")
    target = MetricResult(metric="diversity", value=1.0, direction="target", target=1.0)
    assert explain(lower).endswith("Lower is better.")
    assert explain(target).endswith("Nearest to 1 is best.")
    assert (arrow(lower), arrow(target)) == ("\u2193", "\u2192\u00a01")
    assert About.named("of_a_plugin(x=1)/part").label == "of a plugin, part"


def test_harmful_characters_become_visible_and_others_stay():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert visible("a\x00b\x1b[31m\x7f\n") == "a\u2400b\u241b[31m\u2421 "
    assert visible("\u202ec\ud800") == "\\u202ec\\ud800"
    assert visible(f"café {family} 漢字") == f"café {family} 漢字"


@given(st.text(st.characters()))
def test_visible_text_can_be_written_and_has_no_controls(text):
    shown = visible(text)
    shown.encode("utf-8")
    codes = [ord(c) for c in shown]
    assert not any(c < 32 or 0x7F <= c < 0xA0 or 0x202A <= c <= 0x202E for c in codes)
    assert visible(shown) == shown
