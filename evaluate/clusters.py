"""What resampling moves at once: the images of a prompt, and equal pictures.

Samples of one prompt are alike, and a file that lies there three times says no more than once. So
images are taken together that share a prompt or their bytes, and so on from there: the connected
components over both. Values count every image; only intervals go by the clusters. Where no picture
repeats, the clusters are the prompts.
"""

from __future__ import annotations

from collections.abc import Iterable


def tie_groups(images: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """The cluster of each group (prompt), called by one of its groups; of pairs of an image's group
    and its content.

    Contents are equal for equal pictures, such as their sha256; one that is not known (None or
    empty) is like no other.
    """
    parents: dict[str, str] = {}
    first: dict[str, str] = {}

    def root(group: str) -> str:
        while parents[group] != group:
            parents[group] = group = parents[parents[group]]
        return group

    for group, content in images:
        ours = root(group) if parents.setdefault(group, group) != group else group
        if content:
            parents[ours] = root(first.setdefault(content, group))
    return {group: root(group) for group in parents}
