"""Sentences whose numbers add up, that name the test that decided, in words and not in code."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_helpers import ALIGNMENT, DIVERSITY, FD, pair, row, rows_of, say

from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.axes import axis_sentence
from gandiff.reports.comparing import lookup
from gandiff.reports.difference_table import DISAGREES, difference_table
from gandiff.reports.ground import Ground
from gandiff.reports.papers import named_as_in_papers
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import DifferenceRow
from gandiff.reports.values import Scale, adding_up, show_interval, show_p, show_value

NUMBERS = st.floats(-1000, 1000).map(lambda x: round(x, 4))


@given(NUMBERS, NUMBERS, st.integers(0, 3), st.integers(0, 3))
def test_written_numbers_differ_by_the_written_difference(a, b, decimals, of_difference):
    scales = adding_up(Scale(1.0, decimals, ""), Scale(1.0, of_difference, ""), (a, b), a - b)
    assert scales is not None
    values, apart = scales
    first, second, written = (
        float(s.number(n).replace(",", "")) for s, n in ((values, a), (values, b), (apart, a - b))
    )
    coarse = 10.0 ** -min(values.decimals, apart.decimals)
    assert abs(first - second - written) <= 0.502 * coarse
    assert values.decimals >= decimals
    assert apart.decimals >= of_difference


def test_numbers_that_would_not_add_up_have_a_digit_more():
    rows = [
        row("gan", FD, 12.44, 0.1, direction="lower"),
        row("ddim", FD, 10.06, 0.1, direction="lower"),
    ]
    assert "10.06 against 12.44 for gan, 2.38 lower (" in say(rows)[1].text
    rows = [
        row("gan", FD, 12.4, 0.1, direction="lower"),
        row("ddim", FD, 10.1, 0.1, direction="lower"),
    ]
    assert "10.1 against 12.4 for gan, 2.30 lower (" in say(rows)[1].text


def test_a_difference_over_fewer_prompts_stands_beside_that_of_the_values():
    rows = rows_of("gan", 0.80, 20.0, 0.7, 0.01) + rows_of("ddim", 0.90, 10.0, 0.9, 0.2)
    said = say(rows, [pair(ALIGNMENT, -0.08, 0.03)])[0].text
    assert (
        "90.0 % against 80.0 % for gan, 8.0 points higher on the same 40 prompts (paired, 95 % "
        "interval 5.0 to 11.0; the two values alone: 10.0 points higher)." in said
    )


@pytest.mark.parametrize(
    ("half", "p", "words"),
    [
        (0.11, 0.0004, "which contains 0 and decides; the sign-flip test has p = 0.000400"),
        (0.03, 0.01, ", 95 % interval 7.0 to 13.0)"),
        (0.11, 0.2, "which contains 0."),
    ],
)
def test_where_p_alone_finds_a_difference_the_sentence_says_that_the_interval_decides(
    half, p, words
):
    rows = rows_of("gan", 0.80, 20.0, 0.7, 0.01) + rows_of("ddim", 0.90, 10.0, 0.9, 0.2)
    difference = dataclasses.replace(pair(ALIGNMENT, -0.10, half), p_value=p)
    assert words in say(rows, [difference])[0].text
    assert words in say(rows, [difference.flipped()])[0].text


def test_equal_distances_from_a_target_do_not_differ_by_their_rounding():
    near, far = 0.0009000000000000001, 0.0011
    assert abs(near - 0.001) < abs(far - 0.001)
    rows = [
        row(name, DIVERSITY, value, 0.0, direction="target", target=0.001)
        for name, value in (("gan", near), ("ddim", far))
    ]
    said = axis_sentence("diversity", lookup(rows), [], "gan", "ddim")
    assert (said.winner, said.outcome) == (None, "undecided")


def test_p_of_a_raw_difference_is_not_set_against_the_distance_from_a_target():
    rows = rows_of("gan", 0.80, 20.0, 0.7, 0.01) + rows_of("ddim", 0.90, 10.0, 0.9, 0.2)
    far = {"farther": 0.2, "farther_low": 0.1, "farther_high": 0.3}
    difference = dataclasses.replace(pair(DIVERSITY, -0.2, 0.1, **far), p_value=0.4)
    assert "p = " not in say(rows, [difference])[2].text


def test_the_table_marks_where_p_alone_finds_a_difference(run_folder):
    run = load_run(run_folder)
    rows = [
        dataclasses.replace(pair(ALIGNMENT, 0.1, half, b="ddim-20"), p_value=p)
        for half, p in ((0.05, 0.2), (0.05, 0.01), (0.2, 0.01), (0.2, 0.2))
    ]
    table = difference_table(dataclasses.replace(run, differences=rows))
    column = table.head.index("p")
    assert [DISAGREES in cells[column] for cells in table.rows] == [False, False, True, False]
    assert table.rows[0][0] == "scene accuracy"


@pytest.mark.parametrize(
    ("p", "shown"),
    [(1.0, "1.00"), (0.0414, "0.0414"), (0.04996, "0.04996"), (0.00003, "below 0.0001")],
)
def test_p_values_keep_their_side_of_the_usual_threshold(p, shown):
    assert show_p(p) == shown


def rates(low, high):
    return DifferenceRow(
        a="gan", b="ddim", metric="images_per_second", difference=190.0, ratio=20.0,
        ratio_low=low, ratio_high=high,
    )  # fmt: skip


def test_the_ratio_of_the_rates_stands_behind_them_where_it_has_an_interval():
    rows = rows_of("gan", 0.80, 20.0, 0.7, 0.01) + rows_of("ddim", 0.90, 10.0, 0.9, 0.2)
    end = "200 against 10 images a second at the best batch size"
    with_ratio = f"{end} (20 times, 95 % interval of the ratio 14 to 29)."
    for difference in (rates(14.3, 28.7), rates(14.3, 28.7).flipped()):
        assert say(rows, [difference])[3].text.endswith(with_ratio)
    unsure = say(rows, [rates(0.7, 90.0)])[3].text
    assert unsure.endswith("0.7 to 90, which contains 1).")
    assert say(rows, [rates(None, None)])[3].text.endswith(f"{end}.")


PUBLISHED = {"encoder": "inception", "weights": "fid-2015-12-05", "resize": "clean"}


@pytest.mark.parametrize(
    ("protocol", "value", "label", "shown", "interval"),
    [
        (PUBLISHED, 0.00312, "KID (clean-fid) (\u00d7 1000)", "3.12", "2.12 to 4.12"),
        ({"encoder": "scenes"}, 45_123.0, "kernel distance (in thousands)", "45.1", "44.1 to 46.1"),
        ({"encoder": "dinov2"}, 0.312, "kernel distance", "0.312", "0.308 to 0.316"),
    ],
)
def test_kernel_distances_are_written_in_a_size_for_people_and_kept_as_they_are(
    protocol, value, label, shown, interval
):
    half = {"inception": 0.001, "scenes": 1000.0, "dinov2": 0.004}[protocol["encoder"]]
    metric = f"kid(encoder={protocol['encoder']})"
    result = named_as_in_papers(
        MetricResult(
            metric=metric, value=value, low=value - half, high=value + half,
            protocol=protocol, about=about_metric(metric),
        )
    )  # fmt: skip
    assert (result.value, result.described.label) == (value, label)
    beside = Ground().beside(result)
    assert beside == ("" if "KID" in label else "; not comparable with KID in papers")
    assert (show_value(result), show_interval(result)) == (shown, interval)
