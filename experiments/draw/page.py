"""Which picture of a drawing stands where on its page, and what is written beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gandiff.common.words import counted
from gandiff.experiments.draw.grid import Cell, Row
from gandiff.experiments.draw.pictures import Picture
from gandiff.models.generator import Generator


def head(name: str, generator: Generator) -> tuple[str, str]:
    """The model's name, and below it the settings that were given, or what it is."""
    target, _, settings = name.partition(",")
    kind = "GAN" if generator.info.family == "gan" else generator.info.family
    steps = generator.info.settings.get("num_inference_steps")
    return target, settings or (f"{kind}, {counted(steps, 'step')}" if steps else kind)


def rows(
    pictures: Sequence[Picture], steps: Mapping[str, list[float]], refused: Mapping[str, str]
) -> Iterator[Row]:
    """A row for each prompt and sample, the frames of the first sample below it.

    ``steps`` are the moments that each model shows; ``refused`` says why models made nothing.
    """
    places: dict[tuple[str, int], dict[str, list[Picture]]] = {}
    for picture in pictures:
        of_model = places.setdefault((picture.prompt_id, picture.sample), {})
        of_model.setdefault(picture.model, []).append(picture)
    for (_, sample), columns in places.items():
        first = next(iter(columns.values()))[0]
        yield Row(
            title=first.prompt if sample == 0 else None,
            label=f"seed {first.seed}",
            cells=[_shown(made[:1]) or _word(refused.get(name)) for name, made in columns.items()],
        )
        if sample == 0 and any(steps.values()):
            words = {name: "failed" if steps[name] else "has no steps to show" for name in steps}
            labels = {
                "image": "from noise\nto picture",
                "estimate": "the picture as\nit is expected",
            }
            for kind, label in labels.items():
                strips = {name: _shown(made[1:], kind) for name, made in columns.items()}
                if kind == "image" or any(strips.values()):
                    cells = [strip or words[name] for name, strip in strips.items()]
                    yield Row(label=label, cells=cells, strips=True)


def _shown(pictures: Sequence[Picture], kind: str = "image") -> Cell:
    captioned = [(getattr(p, kind), _caption(p)) for p in pictures]
    return [(image, caption) for image, caption in captioned if image is not None]


def _caption(picture: Picture) -> str:
    return "" if picture.step is None else f"step {picture.step} of {picture.steps}"


def _word(reason: str | None) -> str:
    """What stands in an empty cell: that a model lacks the ability, without those that it has."""
    return reason.partition(":")[0] if reason and reason.startswith("cannot") else "failed"
