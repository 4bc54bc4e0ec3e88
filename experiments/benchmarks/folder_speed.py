"""How fast folders are scored, here and by others: in one run, by turns, on the same files.

    python -m gandiff.experiments.benchmarks.folder_speed --images 500 --side 256
    python -m gandiff.experiments.benchmarks.folder_speed --distance

The network has random weights, which costs the same time. Ours measures FID, KID, precision,
recall, density and coverage; torch-fidelity FID and KID; the others FID.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.linalg import sqrtm

from gandiff.common.names import did_you_mean
from gandiff.evaluate.numerics.frechet import frechet_replicates
from gandiff.evaluate.numerics.gaussian import GaussianStats, frechet_distance
from gandiff.experiments.benchmarks.peers import PEERS
from gandiff.experiments.doctor.golden import formula_weights
from gandiff.experiments.scoring.encoding import Encoding
from gandiff.experiments.scoring.folders import measure_folders

_METRICS = "fid,kid(encoder=inception)," + ",".join(
    f"{name}(encoder=inception,nearest_k=5)"
    for name in ("precision", "recall", "density", "coverage")
)
_OURS, _COMPILED = "gandiff", "gandiff --compile"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print images a second of everything that is installed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=500, help="in each of two folders")
    parser.add_argument("--side", type=int, default=256, help="px")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each")
    parser.add_argument("--only", default="", help="names with commas between; all if empty")
    parser.add_argument("--distance", action="store_true", help="time the Fréchet distance alone")
    given = parser.parse_args(arguments)
    if given.images < 2 or given.side < 1 or given.rounds < 1:
        parser.error("--images must be at least 2, --side and --rounds at least 1")
    if given.distance:
        _time_distance()
        return
    with tempfile.TemporaryDirectory() as folder:
        _time_folders(Path(folder), given.images, given.side, given.rounds, given.only)


def _time_folders(root: Path, images: int, side: int, rounds: int, only: str) -> None:
    weights = root / "inception.pth"
    torch.save(formula_weights(), weights)
    made, real = (
        _pictures(root / name, images, side, seed) for seed, name in enumerate(["made", "real"])
    )
    compile_seconds: list[float] = []
    contestants = _contestants(made, real, weights, compile_seconds)
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(contestants)
    for name in wanted:
        if name not in contestants:
            raise SystemExit(f"--only: no package {name!r}{did_you_mean(name, contestants)}")
    taken: dict[str, list[float]] = {name: [] for name in wanted}
    for turn in range(rounds):
        for name in wanted:
            print(f"turn {turn + 1} of {rounds}: {name}", file=sys.stderr)
            compile_seconds.clear()
            started = time.perf_counter()
            contestants[name]()
            taken[name].append(time.perf_counter() - started - sum(compile_seconds))
            if compile_seconds:
                print(f"  compiled in {sum(compile_seconds):.1f} s", file=sys.stderr)
    _print_speeds(taken, 2 * images)


def _contestants(
    made: Path, real: Path, weights: Path, compile_seconds: list[float]
) -> dict[str, Callable[[], object]]:
    def ours(compile: bool) -> None:
        encoding = Encoding(weights={"inception": str(weights)}, compile=compile, quiet=True)
        found = measure_folders(made, real, _METRICS, encoding)
        compile_seconds.append(found.compile_seconds)

    def peer(name: str) -> Callable[[], object]:
        return lambda: PEERS[name][1](made, real, weights)

    installed = [name for name, (package, _, _) in PEERS.items() if find_spec(package)]
    others = {name: peer(name) for name in installed}
    return {_OURS: lambda: ours(False), **others, _COMPILED: lambda: ours(True)}


def _print_speeds(taken: Mapping[str, list[float]], images: int) -> None:
    base = "torch-fidelity"
    print(f"{'':20} {'images/s':>9} {'against ' + base:>22}")
    for name, seconds in taken.items():
        ratios = np.divide(taken[base], seconds) if base in taken else None
        ratio = "" if ratios is None else f"{np.median(ratios):.2f} times"
        print(f"{name:20} {images / np.median(seconds):9.2f} {ratio:>22}")


def _time_distance(width: int = 2048, count: int = 2000) -> None:
    """The distance of two Gaussians beside scipy's square root, and its interval at N images."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(2, width, width)) / np.sqrt(width)
    means = rng.normal(size=(2, width)) * 0.1
    covariances = [m @ m.T + 0.1 * np.eye(width) for m in mix]
    started = time.perf_counter()
    ours = frechet_distance(
        *(GaussianStats.of_covariance(m, c, width) for m, c in zip(means, covariances, strict=True))
    )
    mine = time.perf_counter() - started
    started = time.perf_counter()
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    theirs = float(np.sum((means[0] - means[1]) ** 2)) + float(
        np.trace(covariances[0] + covariances[1] - 2 * root)
    )
    scipys = time.perf_counter() - started
    print(f"two {width}-d Gaussians: {mine:.2f} s, scipy's sqrtm {scipys:.2f} s", end="")
    print(f" ({scipys / mine:.1f} times), {abs(ours - theirs) / theirs:.1e} apart")
    rows = rng.normal(size=(2, count, width)).astype(np.float32)
    reference = GaussianStats.of(rows[1])
    groups = [str(i // 4) for i in range(count)]
    started = time.perf_counter()
    found = frechet_replicates(rows[0], reference, groups, 0).at_this_number()
    seconds = time.perf_counter() - started
    print(f"interval at N = {count}, d = {width}: {seconds:.1f} s", end="")
    print(f" ({found.value:.1f}, {found.low:.1f} to {found.high:.1f})")


def _pictures(folder: Path, count: int, side: int, seed: int) -> Path:
    folder.mkdir()
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=float)
        noisy = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:05d}.png")
    return folder


if __name__ == "__main__":
    main()
