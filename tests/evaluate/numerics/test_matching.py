import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gandiff.evaluate.numerics.matching import INVERSE, judge_facts, open_values

SHAPES = ["circle", "square", "star", "heart"]
COLOURS = ["red", "green", "blue"]
SIZES = ["small", "large"]


def thing(shape: str, colour: str | None = None, size: str | None = None) -> dict[str, Any]:
    return {"shape": shape, "colour": colour, "size": size}


def scene(*objects: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"objects": list(objects), "relation": None, "background": None, "count": None, **facts}


RED_STAR, BLUE_RING = thing("star", "red", "small"), thing("ring", "blue", "large")
PICTURE = scene(BLUE_RING, RED_STAR, relation="above", background="white", count=2)


def test_nothing_unstated_is_judged() -> None:
    assert judge_facts(scene(thing("star")), PICTURE) == {"shape": 1.0, "all": 1.0}


def test_everything_right() -> None:
    expected = scene(RED_STAR, BLUE_RING, relation="below", background="white", count=2)
    kinds = ("shape", "colour", "size", "background", "relation", "count", "all")
    assert judge_facts(expected, PICTURE) == dict.fromkeys(kinds, 1.0)


def test_relation_is_read_in_the_order_of_the_prompt() -> None:
    star, ring = thing("star"), thing("ring")
    assert judge_facts(scene(ring, star, relation="above"), PICTURE)["relation"] == 1.0
    assert judge_facts(scene(star, ring, relation="below"), PICTURE)["relation"] == 1.0
    assert judge_facts(scene(star, ring, relation="above"), PICTURE)["relation"] == 0.0


def test_swapped_colours_are_wrong() -> None:
    found = judge_facts(scene(thing("star", "blue"), thing("ring", "red")), PICTURE)
    assert found == {"shape": 1.0, "colour": 0.0, "count": 1.0, "all": 0.0}


def test_an_object_without_counterpart_has_all_its_facts_wrong() -> None:
    picture = scene(RED_STAR, background="white", count=1)
    expected = scene(thing("ring", "red"), thing("star", "red"), relation="left of")
    found = judge_facts(expected, picture)
    assert found == {"shape": 0.5, "colour": 0.5, "relation": 0.0, "count": 0.0, "all": 0.0}


def test_the_assignment_with_most_right_facts_counts() -> None:
    # By shape the first would match the first; colour, size and relation outweigh it.
    picture = scene(
        thing("star", "blue", "large"), thing("ring", "red", "small"), relation="left of", count=2
    )
    expected = scene(
        thing("star", "red", "small"), thing("cross", "blue", "large"), relation="right of"
    )
    found = judge_facts(expected, picture)
    assert found["colour"] == found["size"] == found["relation"] == 1.0
    assert found["shape"] == 0.0


def test_one_object_is_looked_for_among_two() -> None:
    found = judge_facts(scene(thing("star", "red"), count=1), PICTURE)
    assert found == {"shape": 1.0, "colour": 1.0, "count": 0.0, "all": 0.0}


def test_one_wrong_fact_fails_all() -> None:
    found = judge_facts(scene(thing("star", "red", "large"), background="white"), PICTURE)
    assert (found["shape"], found["colour"], found["size"], found["all"]) == (1, 1, 0, 0)


def test_held_out_repeats_all() -> None:
    expected = scene(thing("star", "red"), held_out=True)
    assert judge_facts(expected, PICTURE)["held_out_all"] == 1.0
    assert "held_out_all" not in judge_facts({**expected, "held_out": False}, PICTURE)


def test_a_picture_without_objects_is_wrong_not_an_error() -> None:
    found = judge_facts(scene(thing("star"), background="sand"), scene(background="sand"))
    assert found == {"shape": 0.0, "background": 1.0, "all": 0.0}


objects = st.builds(
    thing, st.sampled_from(SHAPES), st.sampled_from(COLOURS), st.sampled_from(SIZES)
)
maybe = st.builds(
    thing,
    st.sampled_from(SHAPES),
    st.none() | st.sampled_from(COLOURS),
    st.none() | st.sampled_from(SIZES),
)
relations = st.sampled_from(sorted(INVERSE))


@given(st.lists(maybe, min_size=2, max_size=2), st.lists(objects, min_size=2, max_size=2),
       relations, relations)  # fmt: skip
def test_no_order_of_objects_matters(
    stated: list[dict[str, Any]], seen: list[dict[str, Any]], said: str, shown: str
) -> None:
    expected, picture = scene(*stated, relation=said), scene(*seen, relation=shown, count=2)
    turned = scene(*stated[::-1], relation=INVERSE[said])
    mirrored = scene(*seen[::-1], relation=INVERSE[shown], count=2)
    found = judge_facts(expected, picture)
    assert judge_facts(turned, picture) == found
    assert judge_facts(expected, mirrored) == found


@given(st.lists(objects, min_size=1, max_size=2), relations)
def test_a_picture_fits_its_own_description_and_any_part_of_it(
    seen: list[dict[str, Any]], relation: str
) -> None:
    picture = scene(*seen, background="grey", count=len(seen))
    picture["relation"] = relation if len(seen) == 2 else None
    assert set(judge_facts(picture, picture).values()) == {1.0}
    less = copy.deepcopy(picture)
    less["objects"][0]["colour"] = less["background"] = less["count"] = None
    assert set(judge_facts(less, picture).values()) == {1.0}


@pytest.mark.parametrize("word", sorted(INVERSE))
def test_inverse_is_an_involution(word: str) -> None:
    assert INVERSE[INVERSE[word]] == word != INVERSE[word]


def test_what_is_left_open_and_what_is_not() -> None:
    star = {"shape": "star", "colour": None, "size": "small"}
    ring = {"shape": "ring", "colour": None, "size": None}
    stated = {"objects": [star, ring], "relation": None, "background": "white", "count": None}
    seen = {
        "objects": [
            {"shape": "ring", "colour": "blue", "size": "large"},
            {"shape": "star", "colour": "red", "size": "large"},
        ],
        "relation": "above",
        "background": "black",
    }
    # the prompt's order: the star first; the ring is above it
    assert open_values(stated, seen) == {
        "colour": ("red", "blue"),
        "size": ("large",),
        "relation": ("below",),
    }
    alone = {"objects": [star], "relation": None, "background": None, "count": None}
    assert open_values(alone, seen) == {"colour": ("red",), "background": ("black",), "count": (2,)}
    only = {"objects": [star], "relation": None, "background": "white", "count": 1}
    cross = {"objects": [{"shape": "cross", "colour": "red", "size": "small"}], "background": "x"}
    assert open_values(only, cross) == {"colour": (None,)}  # there is no star to have a colour
