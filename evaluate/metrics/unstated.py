"""What a prompt leaves open: whether its images vary in that as real images of the prompt do.

"A star" says no colour, so real images of it have many. A frozen scene classifier reads the colour,
size, background, relation and count that a prompt leaves open, from generated images and from as
many real images of the same prompt; the two are then compared in two ways.

Coverage sees collapse within a prompt, also where each prompt collapses to another value. Reverse
KL sees a wrong distribution over all prompts, such as too many red objects.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gandiff.common.errors import MetricError
from gandiff.common.images import ALPHAS
from gandiff.common.words import agree, counted
from gandiff.evaluate.checks import refuse_unknown, set_sha256, spec_of
from gandiff.evaluate.metric import NO_FACTS, ImageRecord, Metric, MetricInput, MetricOutput
from gandiff.evaluate.metrics.scene_judging import judge_of, judged
from gandiff.evaluate.numerics.matching import KINDS, open_values
from gandiff.evaluate.numerics.statistics import add_up, ratio_of_sums
from gandiff.evaluate.numerics.variation import Values, corrected_kl, further_values
from gandiff.evaluate.result import About, Interval, MetricResult, Value

# With fewer prompts, and for a kind with few values near 0, the jackknife interval of the KL held
# the truth in less than 0.92 of simulations.
_KL_PROMPTS = 50
_Seen = dict[tuple[str, str, int], list[Any]]  # values by prompt, kind, and which of that kind
_READ_PROMPTS = 10  # the correction of the KL is wild where fewer have values
_VARIATION = About(
    label="what prompts leave open",
    meaning="How the images vary in colour, size, background, relation and count where the prompt "
    "leaves these open, beside real images of the same prompts.",
    group="Diversity",
    axis="diversity",
    priority=None,
)
_PARTS = {
    "coverage": dataclasses.replace(
        _VARIATION,
        meaning=f"{_VARIATION.meaning} 1 where they vary as real ones do, 0 where the images of a "
        "prompt are all alike.",
        unit="x",  # times that of real images
        direction="target",
        target=1.0,
    ),
    "reverse_kl": dataclasses.replace(
        _VARIATION,
        meaning=f"{_VARIATION.meaning} 0 where what they show is distributed as in real ones "
        "(KL divergence of generated from real images).",
        unit="nats",
        direction="lower",
    ),
}
_NAMES = {"coverage": "coverage", "reverse_kl": "reverse KL divergence"}


def _labelled(about: About, part: str, kind: str = "") -> About:
    of = f" of {kind}" if kind else ""
    return dataclasses.replace(about, label=f"{about.label}, {_NAMES[part]}{of}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenAttribute:
    """An attribute that a prompt leaves open, and its values in the prompt's images.

    Images that do not show the object are left out of ``made`` and ``real`` and counted in
    ``unread`` (of the generated ones).
    """

    group: str
    kind: str
    made: Values
    real: Values
    unread: int


class UnstatedAttributes(Metric):
    """``unstated(judge=a|b|FOLDER)``: variation in what the prompt leaves open, beside real images.

    Rows ``/coverage`` and ``/reverse_kl``, and each by kind (``/coverage_colour``). Coverage counts
    the values beyond the first among a prompt's K images, summed over prompts, relative to what K
    real images show: 0 where the images of each prompt are alike, 1 where they vary as real ones
    do. Reverse KL pools the values of all prompts by kind, KL(generated || real), in nats.
    """

    about = dataclasses.replace(
        _VARIATION,
        parts={
            **{part: _labelled(about, part) for part, about in _PARTS.items()},
            **{
                f"{part}_{kind}": dataclasses.replace(
                    _labelled(about, part, kind), group="Variation by attribute", axis=None
                )
                for part, about in _PARTS.items()
                for kind in KINDS
            },
        },
    )
    needs_prompts = True
    needs_facts = True

    def __init__(self, *, judge: Value = "a", **unknown: Value) -> None:
        refuse_unknown("unstated", unknown, ["judge"])
        self._judge = str(judge)
        self.spec = spec_of("unstated", {}, {"judge": (judge, "a")})

    def measure(self, data: MetricInput) -> MetricOutput:
        """The rows, and the coverage of each image's prompt; real images of the prompts are
        needed.
        """
        found, real = self._read(data)
        kinds = [kind for kind in KINDS if any(a.kind == kind for a in found)]
        protocol = {
            "judge": self._judge,
            "weights_sha256": judge_of(data, self._judge).sha256,
            "alpha": ALPHAS[0],
            "reference_sha256": set_sha256(data.matched or ()),
        }
        rows, above, below = [], {}, {}
        for kind in (None, *kinds):
            chosen = [a for a in found if kind in (None, a.kind)]
            row, by_group = self._coverage(chosen, kind, data, protocol)
            level = _level(real, kind)  # the same for every generator, so equal images score alike
            rows.append(row)
            if by_group:
                pairs = [by_group.get(image.group, (math.nan, math.nan)) for image in data.images]
                above[row.metric], below[row.metric] = np.array(pairs).T / level
        rows += [self._reverse_kl(found, kind, kinds, data, protocol) for kind in (None, *kinds)]
        return MetricOutput(results=rows, per_image=above, denominators=below)

    def _read(self, data: MetricInput) -> tuple[list[OpenAttribute], _Seen]:
        """What the prompts of the generated images leave open, and all that real images show."""
        if not any(image.expected for image in data.images):
            raise MetricError(f"{self.spec} {NO_FACTS}")
        if not data.matched:
            raise MetricError(
                f"{self.spec} needs real images of the same prompts to compare with; "
                "use the suite 'scenes' alone"
            )
        made = _values(data.images, judged(data, self._judge, data.images))
        real = _values(data.matched, judged(data, self._judge, data.matched))
        attributes = [
            OpenAttribute(
                group=group,
                kind=kind,
                made=[value for value in values if value is not None],
                real=[value for value in real[group, kind, place] if value is not None],
                unread=sum(value is None for value in values),
            )
            for (group, kind, place), values in made.items()
            if (group, kind, place) in real
        ]
        if not attributes:
            raise MetricError(f"{self.spec}: no prompt that has real images leaves anything open")
        return attributes, real

    def _coverage(
        self,
        chosen: Sequence[OpenAttribute],
        kind: str | None,
        data: MetricInput,
        protocol: Mapping[str, Any],
    ) -> tuple[MetricResult, dict[str, tuple[float, float]]]:
        """The row, and how many values beside the first each prompt's images and real ones show."""
        sums: dict[str, tuple[float, float]] = {}
        for one in chosen:
            pair = further_values(one.made, one.real)
            if pair is not None:
                before = sums.get(one.group, (0.0, 0.0))
                sums[one.group] = (before[0] + pair[0], before[1] + pair[1])
        above, below = (np.array([pair[i] for pair in sums.values()]) for i in (0, 1))
        if not below.sum():
            why = (
                "not measured: no prompt has 2 images that show it and real images that vary in it"
            )
            return self._row("coverage", kind, None, chosen, data, protocol, why), {}
        made, real = add_up(data.clusters_of(sums), above, below)
        interval = ratio_of_sums(made, real, data.seed)
        note = (
            "0: the images of each prompt are alike, 1: they vary as real ones do, above 1 is no "
            f"improvement; over {counted(len(sums), 'prompt')}"
        )
        full = {**protocol, "interval": "bootstrap over prompts"}
        if interval.low is None:
            full["interval"] = "none"
            note += "; no interval: the real images of too few prompts vary"
        row = self._row("coverage", kind, interval, chosen, data, full, note)
        return row, sums

    def _reverse_kl(
        self,
        found: Sequence[OpenAttribute],
        kind: str | None,
        kinds: Sequence[str],
        data: MetricInput,
        protocol: Mapping[str, Any],
    ) -> MetricResult:
        chosen = [a for a in found if kind in (None, a.kind)]
        groups = list(dict.fromkeys(one.group for one in chosen))
        tables = {one: _counts(found, one, groups) for one in (kinds if kind is None else [kind])}
        usable = {one: pair for one, pair in tables.items() if _enough(pair)}
        if not usable:
            why = f"not measured: fewer than {_READ_PROMPTS} prompts have images that show it"
            return self._row("reverse_kl", kind, None, chosen, data, protocol, why)
        note = "corrected for the number of images, so it may be slightly below 0"
        if len(usable) < len(tables):
            note += f"; without {', '.join(k for k in tables if k not in usable)}: too few values"
        clusters = data.clusters_of(groups)
        interval = corrected_kl(list(usable.values()), clusters)
        if kind is not None:
            interval = Interval(value=interval.value)
            note += "; no interval: that of one kind does not hold near 0"
        elif (count := len(set(clusters))) < _KL_PROMPTS:
            interval = Interval(value=interval.value)
            note += f"; no interval: it takes {_KL_PROMPTS} prompts, and there "
            note += agree(count, f"are {count}")
        full = {
            **protocol,
            "estimator": "leave-one-prompt-out jackknife of the plug-in KL",
            "interval": "none" if interval.low is None else "jackknife over prompts",
        }
        return self._row("reverse_kl", kind, interval, chosen, data, full, note)

    def _row(
        self,
        part: str,
        kind: str | None,
        interval: Interval | None,
        chosen: Sequence[OpenAttribute],
        data: MetricInput,
        protocol: Mapping[str, Any],
        note: str,
    ) -> MetricResult:
        unread, groups = sum(a.unread for a in chosen), {a.group for a in chosen}
        if unread:
            values = unread + sum(len(a.made) for a in chosen)
            note += f"; {unread} of {values} values not read: the object is not in the picture"
        name = f"{part}_{kind}" if kind else part
        return MetricResult.of(
            interval,
            self.describe(name),
            metric=f"{self.spec}/{name}",
            images=sum(image.group in groups for image in data.images),
            references=sum(image.group in groups for image in data.matched or ()),
            protocol=protocol,
            note=note,
        )


def _level(real: _Seen, kind: str | None) -> float:
    """How many values beside the first the real images of a prompt show on average."""
    shown = {at: set(values) - {None} for at, values in real.items() if kind in (None, at[1])}
    groups = {group for group, _, _ in shown}
    return sum(max(0, len(values) - 1) for values in shown.values()) / len(groups)


def _enough(tables: tuple[Float[np.ndarray, "p v"], Float[np.ndarray, "p v"]]) -> bool:
    return all(int((table.sum(axis=1) > 0).sum()) >= _READ_PROMPTS for table in tables)


def _values(images: Sequence[ImageRecord], seen: Sequence[Mapping[str, Any] | None]) -> _Seen:
    """Values by prompt, kind and which of the prompt's open attributes of that kind it is."""
    found: _Seen = {}
    for image, predicted in zip(images, seen, strict=True):
        if predicted is None:
            continue
        for kind, values in open_values(image.expected or {}, predicted).items():
            for place, value in enumerate(values):
                found.setdefault((image.group, kind, place), []).append(value)
    return found


def _counts(
    attributes: Sequence[OpenAttribute], kind: str, groups: Sequence[str]
) -> tuple[Float[np.ndarray, "p v"], Float[np.ndarray, "p v"]]:
    """How often each prompt's images show each value of a kind: generated, real."""
    chosen = [a for a in attributes if a.kind == kind]
    values = sorted({value for a in chosen for value in (*a.made, *a.real)}, key=str)
    column = {value: index for index, value in enumerate(values)}
    row = {group: index for index, group in enumerate(groups)}
    made, real = np.zeros((2, len(groups), len(values)))
    for one in chosen:
        for table, shown in ((made, one.made), (real, one.real)):
            for value in shown:
                table[row[one.group], column[value]] += 1
    return made, real
