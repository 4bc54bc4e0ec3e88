"""Real pictures of the prompts, where scoring put some into the run."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from gandiff.common.errors import RequestError
from gandiff.common.files import read_json
from gandiff.common.real_pictures import FACTS, facts_sha256, folder_of, picture_name
from gandiff.reports.run_data import RunData


@dataclasses.dataclass(frozen=True)
class RealPictures:
    """Those of one folder of the run; ``facts`` are the hashes of what they show, by prompt.

    Older versions wrote no hashes.
    """

    folder: str = ""
    facts: Mapping[str, str] | None = None

    @classmethod
    def of(cls, run: RunData) -> RealPictures:
        """Those of the largest size."""
        found = run.folder.glob(folder_of("*"))
        sizes = [int(s) for p in found if re.fullmatch(r"\d+", s := p.name.rpartition("-")[2])]
        if not sizes:
            return cls()
        folder, facts = folder_of(max(sizes)), None
        if (known := run.file(f"{folder}/{FACTS}")) is not None:
            facts = {}
            with contextlib.suppress(RequestError):  # what cannot be read vouches for nothing
                facts = read_json(known)
        return cls(folder, facts)

    def paths(self, prompt: Mapping[str, Any], samples: int) -> list[str]:
        """Where those of a prompt may lie, relative to the run; none if they show other facts."""
        name = str(prompt.get("id"))
        outdated = self.facts is not None and (
            self.facts.get(name) != facts_sha256(prompt.get("expected"))
        )
        if not self.folder or outdated:
            return []
        return [f"{self.folder}/{picture_name(name, k)}" for k in range(samples)]
