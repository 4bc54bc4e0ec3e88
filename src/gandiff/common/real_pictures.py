"""Real pictures of the prompts of a run: where they lie, and what they were made or chosen for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FACTS = "facts.json"  # in their folder: by prompt, the hash of what its pictures show


def folder_of(kind: object) -> str:
    """Their folder, relative to the run; ``kind`` is the resolution that they were rendered at."""
    return f"reference/matched-{kind}"


def picture_name(prompt_id: str, sample: int) -> str:
    """The name of the file of one of them."""
    return f"{prompt_id}_{sample}.png"


def facts_sha256(expected: Mapping[str, Any] | None) -> str:
    """Hash of the facts that a prompt states."""
    return hashlib.sha256(json.dumps(expected, sort_keys=True).encode()).hexdigest()
