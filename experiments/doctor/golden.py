"""Golden values: what this installation computes, beside what it computed when they were recorded.

A library that is upgraded may change a number without a word: torchmetrics 1.8 began to antialias,
transformers 5 broke a CLIP score, a JPEG decoder rounds otherwise. ``gandiff doctor`` computes
everything here again and says what moved. Record again, after understanding why, with

    python -m gandiff.experiments.doctor.golden
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gandiff.common.files import PACKAGE

FOLDER = PACKAGE / "evaluate" / "golden"
VALUES = FOLDER / "golden.json"
IMAGES = ("scene.png", "scene.jpg", "alpha.png", "grey16.png")
_CLOSED = 1e-9  # closed forms and arithmetic in float64
_JPEG = 2e-4  # decoders may differ by a level here and there
_NETWORK = 2e-4  # float32 through a network: other processors add in another order
_LONG = "a red star left of a blue ring on a white background and much more that nobody reads "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Golden:
    """Some numbers, and how far, relative to the largest, each may be from what was recorded.

    ``expected`` is given for what follows from mathematics; else it is what was recorded.
    """

    name: str
    values: tuple[float, ...]
    tolerance: float
    expected: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """A golden value looked at: ``same``, and a line that says by how much."""

    name: str
    same: bool
    detail: str


def compare_golden() -> list[Compared]:
    """Compute all golden values and compare; a computation that fails counts as different."""
    recorded = json.loads(VALUES.read_text(encoding="utf-8"))
    found = []
    for make in _MAKERS:
        try:
            found += [_compare(golden, recorded) for golden in make()]
        except Exception as error:  # whatever an upgrade may raise is an answer here
            name = make.__name__.strip("_").replace("_", " ")
            why = (
                f"cannot be computed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            )
            found.append(Compared(name=name, same=False, detail=why))
    return found


def record_golden() -> None:
    """Write what this installation computes into ``golden.json``."""
    values = {
        golden.name: list(golden.values)
        for make in _MAKERS
        for golden in make()
        if golden.expected is None
    }
    VALUES.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _compare(golden: Golden, recorded: dict[str, list[float]]) -> Compared:
    expected = golden.expected or tuple(recorded.get(golden.name, ()))
    if len(expected) != len(golden.values):
        detail = f"{len(golden.values)} values, and {len(expected)} are recorded"
        return Compared(name=golden.name, same=False, detail=detail)
    scale = max([abs(value) for value in expected] + [1e-12])
    off = [abs(a - b) / scale for a, b in zip(golden.values, expected, strict=True)]
    worst = max(range(len(off)), key=lambda i: off[i] if math.isfinite(off[i]) else math.inf)
    same = all(value <= golden.tolerance for value in off)  # NaN is in no order with anything
    said = f"{golden.values[worst]:.9g}, recorded {expected[worst]:.9g}"
    detail = f"{len(off)} values within {golden.tolerance:g}" if same else said
    return Compared(name=golden.name, same=same, detail=detail)


def _frechet_distance() -> list[Golden]:
    from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance

    def diagonal(mean: Sequence[float], deviations: Sequence[float]) -> GaussianStats:
        return GaussianStats.of_covariance(
            np.array(mean, dtype=float), np.diag(np.square(deviations)).astype(float), 9
        )

    # |m1 - m2|^2 + sum (s1 - s2)^2 where both covariances are diagonal
    value = frechet_distance(diagonal([0.0, 1.0], [1.0, 2.0]), diagonal([2.0, 1.0], [4.0, 1.0]))
    rows = _rows(50, 8, 0)
    same = frechet_distance(GaussianStats.of(rows), GaussianStats.of(rows))
    return [
        Golden(name="fd of Gaussians", values=(value,), tolerance=_CLOSED, expected=(14.0,)),
        Golden(name="fd of equal sets", values=(1 + same,), tolerance=1e-6, expected=(1.0,)),
    ]


def _kernel_distances() -> list[Golden]:
    from gandiff.evaluate.metrics.manifold import manifold_values
    from gandiff.evaluate.metrics.mmd import squared_mmd
    from gandiff.evaluate.numerics.vendi import vendi_score

    x, y = _rows(30, 6, 1), _rows(40, 6, 2) + np.float32(0.3)
    # README of the Vendi score's authors: 0, 0, 10, 10, 20, 20 with exp(-|a - b|) give 2.9999
    points = np.repeat([0.0, 10.0, 20.0], 2)
    vendi = vendi_score(np.exp(-np.abs(points[:, None] - points[None, :])))
    return [
        Golden(name="kid", values=(squared_mmd(x, y),), tolerance=_CLOSED),
        Golden(name="vendi", values=(vendi,), tolerance=5e-5, expected=(2.9999,)),
        Golden(
            name="precision, recall, density, coverage",
            values=manifold_values(x, y, 5),
            tolerance=_CLOSED,
        ),
    ]


def _rounding() -> list[Golden]:
    from gandiff.models.pixels import to_uint8

    levels = to_uint8(np.array([0.0, 0.49, 0.51, 127.5, 254.51, 255.0]) / 255)
    return [
        Golden(
            name="rounding to uint8",
            values=tuple(float(level) for level in levels),
            tolerance=_CLOSED,
            expected=(0.0, 0.0, 1.0, 128.0, 255.0, 255.0),
        )
    ]


def _decoding() -> list[Golden]:
    from gandiff.common.images import decode_image

    decoded = {name: decode_image((FOLDER / name).read_bytes()) for name in IMAGES}
    dropped = decode_image((FOLDER / "alpha.png").read_bytes(), alpha="drop")
    decoded["alpha.png, alpha=drop"] = dropped
    return [
        Golden(
            name=f"decoding {name}",
            values=_digest(image.pixels),
            tolerance=_JPEG if name.endswith(".jpg") else _CLOSED,
        )
        for name, image in decoded.items()
    ]


def _resizing() -> list[Golden]:
    from gandiff.evaluate.extractors.resizing import to_inception
    from gandiff.evaluate.features.encoders import RESIZES

    return [
        Golden(
            name=f"resize {resize}",
            # Enlarged and reduced: a filter antialiases only what it reduces.
            values=_digest(to_inception(_picture("scene.png"), resize))
            + _digest(to_inception(_stripes(), resize)),
            tolerance=1e-5,
        )
        for resize in RESIZES
    ]


def _scene_encoders() -> list[Golden]:
    from gandiff.evaluate.features.encoders import open_extractor

    pictures = [_picture("scene.png"), _picture("alpha.png")]
    return [
        Golden(
            name=f"features {name}",
            values=_digest(open_extractor(name, {}, "cpu").features(pictures)),
            tolerance=_NETWORK,
        )
        for name in ("scenes", "scenes_b", "clip:scenes")
    ]


def _token_truncation() -> list[Golden]:
    from gandiff.evaluate.features.encoders import ImageTextExtractor, open_extractor

    clip = open_extractor("clip:scenes", {}, "cpu")
    assert isinstance(clip, ImageTextExtractor)
    found = clip.texts(["a red star", _LONG * 4, "a blue ring " * 40])
    # Two long prompts that differ must not become one: where the end token is cut off they do.
    apart = float(np.abs(found.features[1] - found.features[2]).max() > 1e-3)
    return [
        Golden(
            name="prompts truncated",
            values=(*(float(cut) for cut in found.truncated), apart),
            tolerance=_CLOSED,
            expected=(0.0, 1.0, 1.0, 1.0),
        ),
        Golden(name="texts clip:scenes", values=_digest(found.features), tolerance=_NETWORK),
    ]


def _inception() -> list[Golden]:
    """The FID network with weights from a formula: its layers, not its training, are watched."""
    import torch

    from gandiff.evaluate.features.encoders import open_extractor

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inception.pth"
        torch.save(formula_weights(), file)
        encoder = open_extractor("inception", {"inception": str(file)}, "cpu")
        features = encoder.features([_picture("scene.png")])
    return [Golden(name="features inception", values=_digest(features), tolerance=_NETWORK)]


def formula_weights() -> dict[str, object]:
    """A state dict of the FID network without its training, the same on every machine."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as owner

    shapes: dict[str, torch.Size] = {}

    class Shapes(owner.FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, state: dict[str, object]) -> None:
            del state
            shapes.update({key: value.shape for key, value in self.state_dict().items()})

    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):  # shapes, no numbers
        torch.save({}, Path(folder) / "empty.pth")
        Shapes("shapes", ["2048"], feature_extractor_weights_path=Path(folder) / "empty.pth")
    return {key: _formula(key, tuple(shape)) for key, shape in shapes.items()}


def _formula(key: str, shape: tuple[int, ...]) -> object:
    """Noise with the spread that keeps activations level; batch norms that change nothing."""
    import torch

    if len(shape) == 4:
        rng = np.random.RandomState(sum(key.encode()))  # a stream that numpy promises to keep
        noise = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        return torch.from_numpy(noise.astype(np.float32))
    one = key.endswith(("bn.weight", "running_var"))
    return torch.full(shape, float(one)) if shape else torch.tensor(0)


def _picture(name: str) -> np.ndarray:
    from gandiff.common.images import decode_image

    return decode_image((FOLDER / name).read_bytes()).pixels


def _stripes() -> np.ndarray:
    """A picture of 500 x 420 px with stripes that are too fine for 299 px."""
    y, x = np.mgrid[:420, :500]
    channels = [np.cos(x * 2.9 + y * (c + 1) / 7) for c in range(3)]
    return np.rint(127.5 + 127.5 * np.stack(channels, axis=2)).astype(np.uint8)


def _rows(count: int, width: int, seed: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((count, width)).astype(np.float32)


def _digest(values: np.ndarray) -> tuple[float, ...]:
    """A few numbers that no change of the array leaves alone: norms of its quarters, its mean."""
    flat = values.astype(np.float64).ravel()
    weights = np.cos(np.arange(len(flat)))  # so that a change of order is seen, too
    norms = [float(np.linalg.norm(part)) for part in np.array_split(flat, 4)]
    return (*norms, float(flat @ weights) / math.sqrt(len(flat)))


_MAKERS: tuple[Callable[[], list[Golden]], ...] = (
    _frechet_distance,
    _kernel_distances,
    _rounding,
    _decoding,
    _resizing,
    _scene_encoders,
    _token_truncation,
    _inception,
)

if __name__ == "__main__":
    record_golden()
