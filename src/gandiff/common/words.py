"""Nouns and verbs that agree with a number."""

from __future__ import annotations

_ONE = {"are": "is", "were": "was", "have": "has", "do": "does"}


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 image``, ``1,200 images``; ``many`` if an s is not all."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def with_article(noun: str) -> str:
    """A noun or the name of a class with its article: ``a UNet``, ``an IFPipeline``."""
    spelt = noun[:2].isupper()  # read letter by letter
    vowel = noun[:1] in "AEFHILMNORSX" if spelt else noun[:1].lower() in "aeio"
    return f"{'an' if vowel or noun.startswith('UnC') else 'a'} {noun}"


def agree(number: int, words: str) -> str:
    """Words that begin with the plural of a verb, as they follow a number: ``1 is left out``."""
    verb, space, rest = words.partition(" ")
    return f"{_ONE.get(verb, f'{verb}s')}{space}{rest}" if number == 1 else words
