"""What ``--fail-if`` says: conditions on how much a metric changed from one run to the next."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from gandiff.common.errors import RequestError

Outcome = Literal["holds", "not shown", "does not hold"]
_CONDITION = re.compile(r"^(?P<metric>[^<>]+?)\s*(?P<side>[<>])\s*(?P<number>[^<>\s]+)$")
_NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?|0")
_HOW = 'write METRIC>+NUMBER or METRIC<-NUMBER with " or " between, such as "fid>+1.0"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """A difference (second run minus first) above or below a threshold; ``metric`` is as
    written. In percent it is a share of the first run's value.
    """

    metric: str
    above: bool
    threshold: float
    in_percent: bool = False

    def __str__(self) -> str:
        """Print it in the form that is read."""
        percent = "%" if self.in_percent else ""
        return f"{self.metric}{'>' if self.above else '<'}{self.threshold:+g}{percent}"

    def judge(self, difference: float, low: float | None, high: float | None) -> Outcome:
        """Whether the whole interval lies beyond the threshold, the value alone, or neither.

        Numbers that are known exactly have no interval, and the value decides.
        """
        sign = 1 if self.above else -1
        beyond = sign * (difference - self.threshold) > 0
        nearest = low if self.above else high
        if nearest is not None and beyond and not sign * (nearest - self.threshold) > 0:
            return "not shown"
        return "holds" if beyond else "does not hold"


def parse_conditions(text: str) -> list[Condition]:
    """Read conditions joined by ``or``; raises ``RequestError`` naming the one that cannot be
    read.

    The number is a change and so has a sign: without one it is easily taken for a value.
    """
    conditions = []
    for part in re.split(r"\s+or\s+", text.strip(), flags=re.IGNORECASE):
        match = _CONDITION.match(part.strip())
        if match is None:
            raise RequestError(f"cannot read the condition {part.strip()!r}; {_HOW}")
        if not _NUMBER.fullmatch(match["number"]):
            raise RequestError(
                f"the condition {part.strip()!r} needs a number with its sign, as it is a change "
                f"and no value; {_HOW}"
            )
        above = match["side"] == ">"
        number = match["number"].removesuffix("%")
        conditions.append(
            Condition(
                metric=match["metric"],
                above=above,
                threshold=float(number),
                in_percent=number != match["number"],
            )
        )
    return conditions
