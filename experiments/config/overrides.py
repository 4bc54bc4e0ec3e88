"""What a command changes in a comparison: ``--set``, ``--limit``, ``--weights``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import expanded
from gandiff.experiments.config.yaml_source import Document, apply_override


def override(
    document: Document,
    overrides: Iterable[str] = (),
    limit: int | None = None,
    encoders: Mapping[str, str] | None = None,
) -> None:
    """Change a document as the options of a command say, and write out what it has short.

    Raises ``RequestError`` that names the option.
    """
    data = document.data
    write_out(data)
    for assignment in overrides:
        apply_override(document, assignment)
        write_out(data)  # again, for --set suite=prompts.txt
    if limit is not None:
        if limit < 1:
            raise RequestError(f"--limit must be at least 1, got {limit}")
        suite = data.get("suite")
        data["suite"] = {**(suite if isinstance(suite, dict) else {}), "limit": limit}
    for name, place in (encoders or {}).items():
        if data.get("encoders") is None:
            data["encoders"] = {}
        if isinstance(data["encoders"], dict):  # else the file is refused for what it is
            data["encoders"][name] = str(expanded(place).absolute())
            document.places["encoders", name] = "--weights"


def write_out(data: dict[str, Any]) -> None:
    """Replace what may be written short: the name of a suite, ``timing: off``."""
    if isinstance(data.get("suite"), str):
        data["suite"] = {"name": data["suite"]}
    if (enabled := switch(data.get("timing"))) is not None:
        data["timing"] = {"enabled": enabled == "on"}


def switch(value: Any) -> str | None:
    """``on`` or ``off``, however YAML reads it; None for anything else."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if value in ("on", "off") else None
