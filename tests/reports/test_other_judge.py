"""Where a metric is by a judge, the verdict says what the other judge's own test says."""

from __future__ import annotations

import dataclasses

import pytest
from verdict_helpers import ALIGNMENT, pair, row, say

OTHER, AGREEMENT = "scene_accuracy/other_judge", "scene_accuracy/agreement"


def rows(ours=(0.9766, 0.9473), theirs=(0.9785, 0.9531)):
    return [
        row(name, metric, value, 0.02, direction="none" if metric == AGREEMENT else "higher")
        for metric, values in ((ALIGNMENT, ours), (OTHER, theirs), (AGREEMENT, (0.994, 0.971)))
        for name, value in zip(("gan", "ddim"), values, strict=True)
    ]


BETTER, OPEN = pair(ALIGNMENT, 0.0293, 0.0254), pair(ALIGNMENT, 0.0293, 0.03)


VALUES = "(gan 97.85 %, ddim 95.31 %; 2.54 points,"


@pytest.mark.parametrize(
    ("ours", "half", "says"),
    [
        (BETTER, 0.0254, f"; but by the other judge it is undecided {VALUES} 0.00 to 5.08)"),
        (BETTER, 0.0154, f"; the other judge says the same {VALUES} 1.00 to 4.08)"),
        (OPEN, 0.03, f"; by the other judge it is undecided, too {VALUES} -0.46 to 5.54)"),
        (OPEN, 0.0154, f"; but by the other judge gan is better {VALUES} 1.00 to 4.08)"),
        (
            BETTER,
            None,
            "; but by the other judge it is undecided (gan 97.9 %, ddim 95.3 %; the 95 % "
            "intervals, 95.8 to 99.9 and 93.3 to 97.3)",
        ),
    ],
)
def test_the_other_judge_decides_by_its_own_test(ours, half, says):
    differences = [ours, *([] if half is None else [pair(OTHER, 0.0254, half)])]
    agree = "; the judges agree on 99.4 % and 97.1 % of their images."
    for found in (differences, [one.flipped() for one in differences]):
        said = say(rows(), found)[0]
        assert said.winner == ("gan" if ours is BETTER else None)  # that of the main metric
        assert said.text.endswith(says + agree)


def test_an_opposite_judge_and_a_level_one_are_named():
    against = say(rows(theirs=(0.93, 0.95)), [BETTER, pair(OTHER, -0.02, 0.01)])[0]
    assert (
        "; but the other judge says the opposite (ddim 95.0 %, gan 93.0 %; 2.0 points, 1.0 to 3.0)"
        in against.text
    )
    level = say(rows(theirs=(0.95, 0.95)), [BETTER])[0]
    assert "; but by the other judge they are level (95.0 % for both)" in level.text


def test_a_difference_that_is_not_that_of_the_values_says_over_which_prompts_it_is():
    """Where one of the two lacks images, the values are of other prompts than the difference."""
    uneven = [BETTER, pair(OTHER, 0.307, 0.05)]
    text = say(rows(), uneven)[0].text
    assert "; on the same 40 prompts 30.7 points, " in text
    (a, b) = (one.result.value for one in rows() if one.result.metric == OTHER)
    even = say(rows(), [BETTER, pair(OTHER, a - b, 0.01)])[0].text
    assert "prompts" not in even.partition("other judge")[2].partition("agree")[0]


def test_too_few_prompts_are_said_once():
    few = [dataclasses.replace(one, prompts=20) for one in (BETTER, pair(OTHER, 0.02, 0.01))]
    text = say(rows(), few)[0].text
    assert "; by the other judge it is undecided, too (" in text
    assert text.count("20 prompts are too few") == 1


@pytest.mark.parametrize("without", [OTHER, AGREEMENT])
def test_what_was_not_measured_is_not_said(without):
    text = say([one for one in rows() if one.result.metric != without], [BETTER])[0].text
    assert ("other judge" in text) == (without != OTHER)
    assert "agree on" not in text
