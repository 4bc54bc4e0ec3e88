from __future__ import annotations

import pytest

from gandiff.common.images import ODDITIES
from gandiff.common.words import agree, counted, with_article


def test_nouns_agree_with_their_number() -> None:
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert counted(1, "picture was", "pictures were") == "1 picture was"
    assert counted(12_000, "picture was", "pictures were") == "12,000 pictures were"


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("are left out", "is left out"),
        ("were cut", "was cut"),
        ("have no text", "has no text"),
        ("belong to nobody", "belongs to nobody"),
    ],
)
def test_verbs_agree_with_their_number(many: str, one: str) -> None:
    assert agree(1, many) == one
    assert agree(2, many) == agree(0, many) == many


@pytest.mark.parametrize("words", ODDITIES.values())
def test_what_is_odd_about_a_file_can_be_said_of_one(words: str) -> None:
    one = agree(1, words)
    assert one.split()[0] in ("is", "has", "was")
    assert not {"are", "have", "were"} & set(one.split())


def test_an_article_goes_by_how_a_name_is_read() -> None:
    names = ["IFPipeline", "AutoencoderKL", "UNet2DModel", "LDMPipeline", "UnCLIPPipeline"]
    assert [with_article(name).partition(" ")[0] for name in names] == ["an", "an", "a", "an", "an"]
    assert with_article("KandinskyV22Pipeline") == "a KandinskyV22Pipeline"
    assert with_article("SanaPipeline") == "a SanaPipeline"
