"""One picture to draw, as a call of ``draw`` and as the command line that does the same."""

from __future__ import annotations

import dataclasses
import shlex
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gandiff.common.errors import RequestError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """A picture of a prompt by one model.

    ``options`` are arguments of ``gandiff.draw`` that differ from its defaults; those of
    ``gandiff draw`` have the same names.
    """

    prompt: str
    model: str
    options: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The seed of the drawing."""
        return int(self.options.get("seed", 0))

    def command(self) -> str:
        """The command line that makes the picture again, quoted for a shell."""
        return " ".join(self.words())

    def words(self) -> list[str]:
        """The words of the command, each of them quoted."""
        words = ["gandiff", "draw"]
        if not self.prompt.startswith("-"):
            words.append(self.prompt)
        words += ["--model", self.model]
        for name, value in self.options.items():
            option, word = f"--{name.replace('_', '-')}", _word(value)
            words += [f"{option}={word}"] if word.startswith("-") else [option, word]
        if self.prompt.startswith("-"):
            words += ["--", self.prompt]  # or it would be taken for an option
        return [shlex.quote(word) for word in words]


def _word(value: Any) -> str:
    """A value as it is typed; a file from the folder that the studio was started in."""
    if isinstance(value, Path) and value.is_absolute() and value.is_relative_to(Path.cwd()):
        value = value.relative_to(Path.cwd())
    return str(value)


def read_prompt(text: str | None) -> str:
    """A prompt as a command line can say it: on one line, without control characters.

    Raises ``RequestError`` for an empty one, and for what is no text.
    """
    spaced = " ".join((text or "").split())
    prompt = "".join(c for c in spaced if unicodedata.category(c) != "Cc")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise RequestError(f"a prompt must be UTF-8 text, got {prompt!a}") from None
    if not prompt:
        raise RequestError("the prompt is empty; write what to draw, such as 'a red star'")
    return prompt


def with_settings(model: str, known: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    """The text of a model with those of the chosen settings that differ from what it has."""
    changed = {name: value for name, value in chosen.items() if value != known.get(name)}
    words = [f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in changed.items()]
    return ",".join([model, *words])
