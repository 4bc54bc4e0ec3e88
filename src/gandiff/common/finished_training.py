"""What a training measured at its end, in the words of model cards and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gandiff.common.measurements import MEASUREMENTS, shown_in

# What was varied, by the field of the record: its name, and the columns.
_VARIED = {
    "truncation": ("truncation", {"truncation_psi": "psi"}),
    "operating_points": (
        "steps and guidance",
        {"num_inference_steps": "steps", "guidance_scale": "guidance"},
    ),
}


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


def settings_table(record: Mapping[str, Any]) -> Settings | None:
    """What validation captions gave at several truncations, or steps and guidance scales."""
    for field, (about, varied) in _VARIED.items():
        rows = [row for row in number_rows(record.get(field)) if varied.keys() <= row.keys()]
        names = [name for name in shown_in("truncation") if any(name in row for row in rows)]
        if names:
            cells = [
                [
                    *(f"{row[name]:g}" for name in varied),
                    *(f"{row[name]:.3g}" if name in row else "" for name in names),
                ]
                for row in rows
            ]
            labels = (MEASUREMENTS[name].label for name in names)
            return Settings(about, [*varied.values(), *labels], cells)
    return None


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
    return f"{text}. Nothing that is drawn among its latents is better than that."
