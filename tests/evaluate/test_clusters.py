"""What is resampled as one: the components over prompts and equal pictures."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gandiff.evaluate.clusters import tie_groups
from gandiff.evaluate.numerics.paired import paired_difference
from gandiff.evaluate.numerics.statistics import bootstrap_over_groups

IMAGES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", *"012345678"])))


def by_graph(images: list[tuple[str, str]]) -> dict[str, int]:
    """The same by another road: components of the graph of groups and contents."""
    groups = sorted({group for group, _ in images})
    contents = sorted({content for _, content in images if content})
    edges = [(groups.index(g), len(groups) + contents.index(c)) for g, c in images if c]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    size = len(groups) + len(contents)
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return {group: int(labels[i]) for i, group in enumerate(groups)}


@given(IMAGES)
def test_clusters_are_the_connected_components(images: list[tuple[str, str]]) -> None:
    found = tie_groups(images)
    wanted = by_graph(images) if images else {}
    assert set(found) == set(wanted)
    assert set(found.values()) <= set(found)
    for a in found:
        for b in found:
            assert (found[a] == found[b]) == (wanted[a] == wanted[b])


def test_where_no_picture_repeats_the_clusters_are_the_prompts() -> None:
    images = [(f"p{i // 3}", f"{i}") for i in range(30)]
    assert tie_groups(images) == {f"p{i}": f"p{i}" for i in range(10)}
    assert tie_groups([("a", ""), ("b", ""), ("c", None)]) == {"a": "a", "b": "b", "c": "c"}


@given(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=30), st.integers(2, 4))
def test_copies_of_prompts_leave_means_and_intervals(values: list[float], times: int) -> None:
    prompts = [f"p{i}" for i in range(len(values))]
    copied = [f"{prompt}-{k}" for k in range(times) for prompt in prompts]
    tied = {name: name.partition("-")[0] for name in copied}
    once = bootstrap_over_groups(np.array(values), prompts, 3)
    more = bootstrap_over_groups(np.tile(values, times), [tied[name] for name in copied], 3)
    np.testing.assert_allclose(
        [more.value, more.low, more.high], [once.value, once.low, once.high], atol=1e-9, rtol=1e-9
    )
    zeros, how = np.zeros(len(values)), {"seed": 1, "permutations": 200}
    ours = paired_difference(np.array(values), prompts, zeros, prompts, **how)
    theirs = paired_difference(
        np.tile(values, times), copied, np.tile(zeros, times), copied, cluster_of=tied, **how
    )
    np.testing.assert_allclose(
        [theirs.difference, theirs.low, theirs.high], [ours.difference, ours.low, ours.high],
        atol=1e-9, rtol=1e-9,
    )  # fmt: skip
    assert (theirs.prompts, theirs.clusters) == (times * len(values), len(values))
    assert (ours.prompts, ours.clusters) == (len(values), len(values))
