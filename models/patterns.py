"""Which file of a folder is the image of which request, by a pattern of file names."""

from __future__ import annotations

import dataclasses
import os.path
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gandiff.models.generator import GenerationRequest
from gandiff.models.names import Match, Names

DEFAULT_PATTERN = "{prompt_id}_{sample}"
_TRIED = 200  # requests on which patterns are tried, before the best is tried on all
_IDS = ("{prompt_id}", "{index}", "{index-1}", "{index+1}")
_LAYOUTS = (
    *("ID_{sample}", "ID", "ID-{sample}", "ID/{sample}", "{sample}/ID", "ID ({sample})"),
    *("ID_{seed}", "ID.{sample}", "ID{sample}"),
)


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The file of each request, in order; ``reasons`` say why there is none.

    ``expected`` are the names that were looked for. ``first_sample`` is 1 where the files count the
    samples of a prompt from 1.
    """

    files: list[str | None]
    reasons: list[str]
    expected: list[str]
    first_sample: int = 0

    def in_order(self, places: Sequence[int]) -> Assignment:
        """The same for the requests in another order."""
        return dataclasses.replace(
            self,
            files=[self.files[place] for place in places],
            reasons=[self.reasons[place] for place in places],
            expected=[self.expected[place] for place in places],
        )

    def count(self, among: int | None = None) -> int:
        """How many of the first requests (of all) have a file."""
        return sum(file is not None for file in self.files[:among])


def name_by_pattern(pattern: str, request: GenerationRequest, first_sample: int = 0) -> str:
    """The name that a pattern gives a request; ``LookupError`` if it lacks what is named."""
    values: dict[str, str | int] = {"sample": request.sample + first_sample, "seed": request.seed}
    if request.prompt_id is not None:
        values["prompt_id"] = request.prompt_id
        number = re.search(r"(\d+)$", request.prompt_id)
        if number is not None:
            index = int(number[1])
            values |= {"index": index, "index-1": index - 1, "index+1": index + 1}
    try:
        return pattern.format(**values)
    except KeyError as error:
        named = f"the prompt id {request.prompt_id}"
        given = named if request.prompt_id else "a request without prompt id"
        raise LookupError(
            f"the pattern {pattern} needs {error.args[0]}, which {given} does not give"
        ) from error


def assign(
    files: Names,
    pattern: str,
    requests: Sequence[GenerationRequest],
    where: str = "",
    *,
    planned: bool = True,
) -> Assignment:
    """Look up all requests of a run at once, so that no file is given to two of them.

    Samples are counted from 0, or from 1 where no prompt has a sample 0. Requests that are not
    ``planned`` together are each looked up as if it were alone, and counted from 0.
    """
    from_zero = _assign(files, pattern, requests, where, 0, planned)
    pairs = zip(from_zero.files, requests, strict=True)
    if not planned or "{sample" not in pattern or any(f for f, r in pairs if r.sample == 0):
        return from_zero
    from_one = _assign(files, pattern, requests, where, 1, planned)
    # As many are found either way where more samples are asked for than there are.
    return from_one if from_one.count() >= max(from_zero.count(), 1) else from_zero


def shared_names(assignment: Assignment) -> dict[str, list[int]]:
    """Names that a pattern gives to several requests, and the places of these."""
    twice = {name for name, count in Counter(assignment.expected).items() if name and count > 1}
    shared: dict[str, list[int]] = {}
    for place, name in enumerate(assignment.expected):
        if name in twice:
            shared.setdefault(name, []).append(place)
    return shared


def better_pattern(
    files: Names, requests: Sequence[GenerationRequest], used: set[str]
) -> tuple[str, Assignment] | None:
    """Of the usual patterns the one that finds most files, of these one that finds unused ones.

    None if none finds any.
    """
    step = max(1, len(requests) // _TRIED)
    tried = [*requests[::step], *requests[-1:]]
    best, best_rank = None, (0, 0)
    for pattern in _usual_patterns(files.names, several=any(r.sample for r in requests)):
        got = [file for file in assign(files, pattern, tried).files if file]
        rank = (len(got), sum(file not in used for file in got))
        if rank > best_rank:
            best, best_rank = pattern, rank
        if best_rank[0] == len(tried) and best_rank[1]:
            break
    return None if best is None else (best, assign(files, best, requests))


def _assign(
    files: Names,
    pattern: str,
    requests: Sequence[GenerationRequest],
    where: str,
    first_sample: int,
    planned: bool,
) -> Assignment:
    expected, reasons = [], []
    for request in requests:
        try:
            expected.append(name_by_pattern(pattern, request, first_sample))
            reasons.append(_missing(expected[-1], where))
        except LookupError as error:
            expected.append("")
            reasons.append(str(error.args[0]))
    asked = [name for name in expected if name]
    matches = files.match(asked) if planned else [files.match([name])[0] for name in asked]
    waiting = iter(matches)
    matched = [next(waiting) if name else Match() for name in expected]
    for place, match in enumerate(matched):
        if match.several:
            reasons[place] = f"{' and '.join(match.several[:2])} could both be {expected[place]}"
    return Assignment([match.name for match in matched], reasons, expected, first_sample)


def _missing(name: str, where: str) -> str:
    outside = os.path.normpath(name).startswith((os.pardir, os.sep))
    lies = f"the file {name} lies outside of the folder" if outside else f"no file {name} in"
    return f"{lies} {where}"


def _usual_patterns(names: Sequence[str], *, several: bool) -> Iterator[str]:
    """Patterns that people use, with what the names of a folder begin and end with in common.

    ``several`` leaves out those that give all samples of a prompt one file.
    """
    before, after = _common(names), _common([os.path.splitext(n)[0][::-1] for n in names])[::-1]
    for start in dict.fromkeys(("", _literal(before))):
        for end in dict.fromkeys(("", _literal(after))):
            for layout in _LAYOUTS:
                if several and "{s" not in layout:
                    continue
                for id_ in _IDS:
                    yield start + layout.replace("ID", id_) + end
            yield start + "{seed}" + end


def _common(names: Sequence[str]) -> str:
    """What most names begin with, without the digits at its end; a few may differ."""
    ordered = sorted(names)
    few = len(ordered) // 10
    middle = ordered[few : len(ordered) - few]
    first, last = (middle[0], middle[-1]) if middle else ("", "")
    same = [a == b for a, b in zip(first, last, strict=False)]
    return first[: [*same, False].index(False)].rstrip("0123456789")


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
