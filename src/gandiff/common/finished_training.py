"""What a training measured at its end and what it cost, in the words of model cards and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gandiff.common.measurements import MEASUREMENTS, shown_in

# What was varied, by the field of the record: its name, and the columns.
VARIED = {
    "truncation": ("truncation", {"truncation_psi": "psi"}),
    "operating_points": (
        "steps and guidance",
        {"solver": "solver", "num_inference_steps": "steps", "guidance_scale": "guidance"},
    ),
}
_WORDS = ("solver",)  # of a row, which are no numbers
REAL = "real_against_real"  # field of the row that real pictures get
_DIMENSIONS = 192  # of thumbnails; no more are in records of earlier versions, which do not say


class Settings(NamedTuple):
    """A table of what was measured at several settings of the finished model."""

    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def number_rows(value: Any) -> list[dict[str, float]]:
    """The numbers of each row; a record is read from a file that anybody may have written."""
    if not isinstance(value, list | tuple):
        return []
    return [
        {k: float(v) for k, v in row.items() if isinstance(v, int | float)}
        for row in value
        if isinstance(row, dict)
    ]


def measured_rows(record: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """Rows of a table of the record: what was varied, if all of it is there, and the numbers.

    Without the Fréchet distance of fewer pictures than the features have dimensions, which is
    mostly bias.
    """
    value = record.get(field)
    given = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    _, varied = VARIED[field]
    rows = [
        {k: row[k] for k in _WORDS if isinstance(row.get(k), str)} | numbers
        for row, numbers in zip(given, number_rows(given), strict=True)
    ]
    return [trusted(row) for row in rows if row.keys() >= varied.keys() - {*_WORDS}]


def trusted(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of measurements without a Fréchet distance of too few pictures.

    The covariance of fewer vectors than they have dimensions is singular, and the distance is
    mostly its bias, which falls with the number of pictures (Chong & Forsyth 2020, section 3).
    """
    counts = [row[name] for name in ("pictures", "references") if name in row]
    too_few = bool(counts) and min(counts) < row.get("dimensions", _DIMENSIONS)
    return {name: value for name, value in row.items() if name != "fd" or not too_few}


def real_row(record: Mapping[str, Any]) -> dict[str, float]:
    """What as many real pictures got at the end of the training, measured as its own were; empty
    where the record does not say.
    """
    (row,) = number_rows([record.get(REAL)]) or [{}]
    return trusted(row)


def pictures_in_words(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """How many pictures each row of a table is of; None where the record does not say."""
    counts = [int(row["pictures"]) for row in rows if row.get("pictures")]
    return f"{min(counts):,} pictures" if counts else None


def settings_table(record: Mapping[str, Any], number: Callable[[float], str]) -> Settings | None:
    """What validation captions gave at several truncations, or solvers, steps and guidance, and
    what real pictures got; ``number`` writes what was measured.
    """
    for field, (about, columns) in VARIED.items():
        rows = measured_rows(record, field)
        real = real_row(record) if rows else {}
        # Records of earlier versions know of one solver, which they do not name.
        varied = {k: label for k, label in columns.items() if any(k in row for row in rows)}
        names = [name for name in shown_in("truncation") if any(name in row for row in rows)]
        if names:
            settings = [[_setting(row.get(name, "")) for name in varied] for row in rows]
            if real:
                rows, blank = [*rows, real], [""] * (len(varied) - 1)
                settings.append(["real pictures", *blank])
            cells = [
                [*first, *(number(row[name]) if name in row else "" for name in names)]
                for first, row in zip(settings, rows, strict=True)
            ]
            labels = (MEASUREMENTS[name].label for name in names)
            of = pictures_in_words(rows)
            title = about if of is None else f"{about}, on {of}"
            return Settings(title, [*varied.values(), *labels], cells)
    return None


def _setting(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


class Phase(NamedTuple):
    """What one network of a training cost."""

    seconds: float
    images: int
    steps: int


def phases(record: Mapping[str, Any]) -> dict[str, Phase]:
    """What autoencoder and denoiser of a latent diffusion model cost, by their names; empty for
    other records.

    The counts of the record are those of both together, as its budget is.
    """
    before = record.get("autoencoder")
    if not isinstance(before, Mapping):
        return {}
    first: list[Any] = [before.get(name) for name in Phase._fields]
    both: list[Any] = [record.get(name) for name in Phase._fields]
    if not all(isinstance(value, int | float) for value in (*first, *both)):
        return {}
    rest = [whole - part for whole, part in zip(both, first, strict=True)]
    if min(*first, *rest) <= 0:
        return {}
    return {"autoencoder": Phase(*first), "denoiser": Phase(*rest)}


def ceiling(record: Mapping[str, Any]) -> str | None:
    """What the autoencoder of a latent diffusion model lets through at best, in a sentence."""
    facts = record.get("autoencoder")
    seen = facts.get("reconstruction") if isinstance(facts, dict) else None
    if not isinstance(seen, dict) or "psnr_db" not in seen:
        return None
    text = f"Pictures that only pass through its autoencoder: PSNR {seen['psnr_db']:.1f} dB"
    if "same" in seen and "all" in seen:
        text += (
            f"; of scenes their judge sees {seen['same']:.1%} exactly as before, and "
            f"{seen['all']:.1%} with every stated fact right"
        )
    return f"{text}. What the model draws passes through its decoder, too."


def neighbours(record: Mapping[str, Any]) -> str | None:
    """How near its pictures lie to those it was trained on, in a sentence."""
    facts = record.get("neighbours")
    searched = facts.get("searched") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or not isinstance(searched, int):
        return None
    text = f"Nearest of {searched:,} training pictures: median distance "
    text += f"{facts.get('median_distance')}"
    if "ratio" in facts:
        text += (
            f", {facts['ratio']} times that of held-out pictures (far below 1 would be memorising)"
        )
    return f"{text}."
