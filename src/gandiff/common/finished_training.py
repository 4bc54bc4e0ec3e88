"""What a training measured at its end, in the words of model cards and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gandiff.common.measurements import MEASUREMENTS, shown_in

# What was varied, by the field of the record: its name, and the columns.
_VARIED = {
    "truncation": ("truncation", {"truncation_psi": "psi"}),
    "operating_points": (
        "steps and guidance",
        {"solver": "solver", "num_inference_steps": "steps", "guidance_scale": "guidance"},
    ),
}
_WORDS = ("solver",)  # of a row, which are no numbers


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
    """Rows of a table of the record: what was varied, if all of it is there, and the numbers."""
    value = record.get(field)
    given = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    _, varied = _VARIED[field]
    rows = [
        {k: row[k] for k in _WORDS if isinstance(row.get(k), str)} | numbers
        for row, numbers in zip(given, number_rows(given), strict=True)
    ]
    return [row for row in rows if row.keys() >= varied.keys() - {*_WORDS}]


def settings_table(record: Mapping[str, Any], number: Callable[[float], str]) -> Settings | None:
    """What validation captions gave at several truncations, or solvers, steps and guidance;
    ``number`` writes what was measured.
    """
    for field, (about, columns) in _VARIED.items():
        rows = measured_rows(record, field)
        # Records of earlier versions know of one solver, which they do not name.
        varied = {k: label for k, label in columns.items() if any(k in row for row in rows)}
        names = [name for name in shown_in("truncation") if any(name in row for row in rows)]
        if names:
            cells = [
                [
                    *(_setting(row.get(name, "")) for name in varied),
                    *(number(row[name]) if name in row else "" for name in names),
                ]
                for row in rows
            ]
            labels = (MEASUREMENTS[name].label for name in names)
            counts = [int(row["pictures"]) for row in rows if row.get("pictures")]
            on = f", on {min(counts):,} pictures" if counts else ""
            return Settings(f"{about}{on}", [*varied.values(), *labels], cells)
    return None


def _setting(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


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
    return f"{text}. What is drawn among its latents passes through it, too."


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
