"""How well the GAN edits: inversion, image to image, inpainting and painting on the test scenes.

    python -m gandiff.experiments.benchmarks.gan_editing --pictures 64

Facts are judged by both scene judges; a share counts pictures of which everything that the caption
after the edit states is true, brackets hold 95 % intervals. PSNR is that of the pixels that must
stay, before they are put back. Painting by units tries the additions among the edits: the object
must be seen, and the region's colours must lie farther from the background's than its jitter. Its
control are as many random units set to their own levels for the same concepts.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from gandiff.evaluate.extractors.scenes import load_classifier
from gandiff.evaluate.numerics.matching import judge_facts
from gandiff.evaluate.numerics.proportions import mean_over_groups
from gandiff.experiments.scenes.captions import caption_facts, expected
from gandiff.experiments.scenes.edits import Edit, EditPictures, edit_pictures, edit_suite
from gandiff.experiments.scenes.facts import COLOURS, SHAPES, sample_scenes, scene_seeds
from gandiff.experiments.scenes.render import BACKGROUND_RGB, render
from gandiff.models.gan.edits import Edited, Editor
from gandiff.models.gan.inversion import Fit
from gandiff.models.gan.model import TextToImageGan, to_pixels
from gandiff.models.gan.side_by_side import side_by_side
from gandiff.models.gan.units import Switch, at_random, read_units, switch_of
from gandiff.models.generator import GenerationRequest, Task
from gandiff.models.settings import GanSettings
from gandiff.models.weights import require_weights

PARTS = ("inversion", "image_to_image", "inpaint", "paint", "units")
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
JITTER = 8 * 3**0.5  # levels: the farthest that a background lies from its colour
Pictures = UInt8[np.ndarray, "n h w 3"]


@dataclasses.dataclass(frozen=True)
class Bench:
    """The editor and what judges it."""

    editor: Editor
    judges: Mapping[str, Any]

    def right(self, pictures: Pictures, facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Shares of pictures with all of these facts, by each judge."""
        for name, judge in self.judges.items():
            seen = judge.predict(pictures)
            all_right = [judge_facts(*pair)["all"] for pair in zip(facts, seen, strict=True)]
            yield f"judge {name} {share(np.array(all_right))}"

    def inversion(self, count: int) -> Iterator[str]:
        """Pictures of scenes of which no caption is known."""
        seeds = scene_seeds("test", 0, count)
        scenes = sample_scenes(seeds)
        pictures, facts = render(scenes, self._side), caption_facts(scenes, seeds)
        fits, seconds = timed(self.editor.invert, list(pictures))
        made = np.concatenate([to_pixels(fit.picture) for fit in fits])
        yield line("inversion", psnr_of(made, pictures), seconds, fits)
        yield from self.right(made, [expected(facts, i) for i in range(count)])

    def edits(self, task: Task, count: int, strength: float | None = None) -> Iterator[str]:
        """Edits of all kinds as one task."""
        edits = edit_suite("test", count)
        drawn = [edit_pictures(edit, self._side) for edit in edits]
        requests = [request_of(*pair, task, strength) for pair in zip(edits, drawn, strict=True)]
        made, seconds = timed(self.editor.edit, requests)
        name = task if strength is None else f"{task}, strength {strength:g}"
        kept = np.array([before_compositing(*pair) for pair in zip(made, drawn, strict=True)])
        yield line(name, kept, seconds, made)
        pictures = np.stack([one.picture for one in made])
        yield from self.right(pictures, [edit.to_dict()["expected"] for edit in edits])

    def units(self, count: int, switches: Callable[[str, int], Switch], name: str) -> Iterator[str]:
        """Objects painted by units where edits add them."""
        edits = edit_suite("test", count, kinds=["add"])
        drawn = [edit_pictures(edit, self._side) for edit in edits]
        wanted = [added(edit) for edit in edits]

        def paint(i: int) -> Edited:
            switch = switches(" ".join(wanted[i].values()), i)
            editor = dataclasses.replace(self.editor, switch=switch)
            return editor.edit(request_of(edits[i], drawn[i], "paint", None))

        made, seconds = timed(paint, range(count))
        kept = np.array([before_compositing(*pair) for pair in zip(made, drawn, strict=True)])
        yield line(name, kept, seconds, made)
        painted = np.stack([one.picture for one in made])
        stands_out = [
            distance_from_ground(edit, picture, pictures) > JITTER
            for edit, picture, pictures in zip(edits, painted, drawn, strict=True)
        ]
        for judge_name, judge in self.judges.items():
            found = [
                any(wanted[i].items() <= one.items() for one in seen["objects"]) and stands_out[i]
                for i, seen in enumerate(judge.predict(painted))
            ]
            yield f"judge {judge_name} {share(np.array(found, float))}"

    @property
    def _side(self) -> int:
        return self.editor.gan.config.resolution


def added(edit: Edit) -> dict[str, str]:
    """The object that an edit adds."""
    scene, slot = edit.change.target, edit.change.target_slot
    return {"colour": COLOURS[scene.colour[0, slot]], "shape": SHAPES[scene.shape[0, slot]]}


def request_of(
    edit: Edit, pictures: EditPictures, task: Task, strength: float | None
) -> GenerationRequest:
    """An edit as a request, with a seed of its own."""
    return GenerationRequest(
        prompt=edit.words.caption_after,
        seed=int(edit.id.rsplit("-", 1)[1]),
        task=task,
        init_image=pictures.source,
        mask=None if task == "image_to_image" else pictures.mask,
        strength=strength,
    )


def before_compositing(edited: Edited, pictures: EditPictures) -> float:
    """PSNR in dB of the pixels that must stay."""
    made = edited.picture if edited.uncomposited is None else edited.uncomposited
    return float(psnr_of(made[None], pictures.source[None], pictures.keep[None] == 255)[0])


def distance_from_ground(
    edit: Edit, picture: UInt8[np.ndarray, "h w 3"], pictures: EditPictures
) -> float:
    """Mean distance of the region's colours from the background's, in levels."""
    ground = BACKGROUND_RGB[edit.change.target.background[0]]
    away = np.sqrt(((picture - ground) ** 2).sum(2))
    return float(away[pictures.mask == 255].mean())


def psnr_of(
    made: Pictures, wanted: Pictures, where: np.ndarray | None = None
) -> Float[np.ndarray, " n"]:
    """PSNR of each picture in dB, of the pixels ``where`` holds."""
    squares = ((made.astype(float) - wanted) ** 2).mean(3)
    where = np.ones(squares.shape, bool) if where is None else where
    error = (squares * where).sum((1, 2)) / where.sum((1, 2))
    return np.asarray(10 * np.log10(255**2 / np.maximum(error, 1e-4)))


def timed(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[list[Any], float]:
    """What becomes of each item, and seconds for one where as many as cores are done at once."""
    start = time.perf_counter()
    made = side_by_side(work, items, "cpu")
    return made, (time.perf_counter() - start) / len(items)


def line(
    name: str, decibels: Float[np.ndarray, " n"], seconds: float, made: Sequence[Edited | Fit]
) -> str:
    """The first line of a part."""
    evaluations = np.mean([one.evaluations for one in made])
    return (
        f"\n{name}: {len(decibels)} pictures, PSNR {np.mean(decibels):.1f} dB (lowest tenth below "
        f"{np.quantile(decibels, 0.1):.1f}), {seconds:.2f} s and {evaluations:.0f} evaluations each"
    )


def share(values: Float[np.ndarray, " n"]) -> str:
    """A share with its interval."""
    interval = mean_over_groups(values, [str(i) for i in range(len(values))], 0)
    if interval.low is None or interval.high is None:
        return f"{interval.value:.2f} (too few for an interval)"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures, part by part."""
    parser = argparse.ArgumentParser(description="How well the GAN edits test scenes.")
    parser.add_argument("--pictures", type=int, default=64, help="of each part (default: 64)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--weights", default="gan-scenes")
    chosen, settings = parser.parse_args(argv), GanSettings()
    folder = require_weights(chosen.weights)
    editor = Editor(
        TextToImageGan.from_folder(folder),
        steps=settings.inversion_steps,
        candidates=settings.inversion_candidates,
    )
    bench = Bench(editor, {name: load_classifier(name) for name in "ab"})
    for part in chosen.parts:
        for row in rows_of(bench, part, chosen.pictures, folder):
            print(row, flush=True)


def rows_of(bench: Bench, part: str, count: int, folder: Any) -> Iterator[str]:
    """The lines of one part."""
    if part == "inversion":
        yield from bench.inversion(count)
    elif part == "image_to_image":
        for strength in STRENGTHS:
            yield from bench.edits("image_to_image", count, strength)
    elif part == "inpaint":
        yield from bench.edits("inpaint", count)
    elif part == "paint":
        yield from bench.edits("paint", count)
    else:
        units = read_units(folder)
        yield from bench.units(count, lambda text, _: switch_of(units, text), "paint by units")
        yield from bench.units(
            count, lambda text, i: at_random(switch_of(units, text), i), "paint by random units"
        )


if __name__ == "__main__":
    main()
