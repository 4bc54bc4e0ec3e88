"""A run folder as a run would leave it, small and made here, with known numbers.

The helpers of these tests can be imported: ``import verdict_helpers``.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw

from gandiff.experiments.scoring.report import complete_tables
from gandiff.reports.document import ReportPaths, write_report
from gandiff.reports.palette import FAMILY_COLOURS, Look
from gandiff.reports.plotting import STYLE

if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

COLOURS = {"red": "#d43b32", "green": "#3d9b4f", "blue": "#3566c8", "purple": "#8a4bb5"}
CATEGORIES = ("one object", "two objects", "relation")
PAIRED = (("scene_accuracy/all", "acc", 0.024), ("diversity(encoder=scenes)", "div", 0.035))
HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\x1b[31m\u202e &amp;"
)
GENERATORS: dict[str, dict[str, Any]] = {
    "gan": {"family": "gan", "acc": 0.78, "fd": 21.4, "div": 0.82, "ms": 7.4, "nfe": 1},
    "gan-psi-0.7": {"family": "gan", "acc": 0.84, "fd": 26.9, "div": 0.61, "ms": 7.5, "nfe": 1},
    "ddim-20": {"family": "diffusion", "acc": 0.93, "fd": 14.2, "div": 0.9, "ms": 236, "nfe": 40},
    "dpm-10": {"family": "diffusion", "acc": 0.925, "fd": 14.9, "div": 0.89, "ms": 121, "nfe": 20},
    "dpm-4": {"family": "diffusion", "acc": 0.86, "fd": 24.1, "div": 0.92, "ms": 52, "nfe": 8},
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """How large the made-up run is."""

    generators: tuple[str, ...] = tuple(GENERATORS)
    prompts: int = 12
    samples: int = 2
    gallery: int = 64
    side: int = 32
    failed: int = 0  # images of the first generator that failed


def build_run(folder: Path, shape: Shape | None = None) -> Path:
    """Write a whole run folder."""
    shape = shape or Shape()
    prompts = [_prompt(i) for i in range(shape.prompts)]
    images = [
        _image(folder, shape, name, prompt, sample)
        for name in shape.generators
        for prompt in prompts
        for sample in range(shape.samples)
    ]
    _real(folder, shape, prompts)
    for image in images[: shape.failed]:
        image.update(status="failed", reason="the image is black", path=None, sha256=None)
    (folder / "run.json").write_text(json.dumps(_record(shape)))
    _lines(folder / "prompts.jsonl", prompts)
    _lines(folder / "images.jsonl", images)
    _parquet(folder / "scores.parquet", _scores(images, prompts))
    _parquet(folder / "results.parquet", _results(shape))
    complete_tables(folder, seed=0)
    _parquet(folder / "differences.parquet", _differences(shape))
    _traces(folder, shape)
    return folder


def _prompt(i: int) -> dict[str, Any]:
    one, two = (list(COLOURS)[k % 4] for k in (i, i // 4 + 1 + i))
    texts = (
        f"a {one} circle",
        f"a {one} square and a {two} circle",
        f"a {one} circle above a square",
    )
    return {
        "id": f"p{i:04d}",
        "text": HOSTILE if i == 4 else texts[i % 3],
        "category": CATEGORIES[i % 3],
        "tags": [],
        "negative_prompt": None,
        "expected": None,
    }


def draw(i: int, sample: int, side: int, noise: float) -> Image.Image:
    """Draw a shape or two under noise."""
    rng, names = np.random.default_rng(1000 * i + sample), list(COLOURS.values())
    image = Image.new("RGB", (128, 128), "#e9e4d8")
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(10, 50, 2)
    pen.ellipse((x, y, x + 50, y + 50), fill=names[i % 4])
    if i % 3:
        pen.rectangle((x + 10, y + 55, x + 50, min(120, y + 90)), fill=names[(i // 4 + 1 + i) % 4])
    pixels = np.asarray(image.resize((side, side)), dtype=np.float64)
    pixels = pixels + rng.normal(0, noise, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _image(
    folder: Path, shape: Shape, name: str, prompt: dict[str, Any], sample: int
) -> dict[str, Any]:
    path = f"images/{name}/{prompt['id']}_{sample}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    number, noise = int(prompt["id"][1:]), 60 * (1.05 - GENERATORS[name]["acc"])
    draw(number, sample, shape.side, noise).save(folder / path)
    plain = {"batch": 0, "status": "ok", "reason": None, "truncated_tokens": {}}
    return {
        "key": f"{name}-{prompt['id']}-{sample}",
        "generator": name,
        "prompt_id": prompt["id"],
        "sample": sample,
        "seed": 7919 * number + sample,
        "path": path,
        "sha256": hashlib.sha256((folder / path).read_bytes()).hexdigest(),
        "width": shape.side,
        "height": shape.side,
        "seconds": GENERATORS[name]["ms"] / 1000,
        "nfe": GENERATORS[name]["nfe"],
        **plain,
    }


def _real(folder: Path, shape: Shape, prompts: list[dict[str, Any]]) -> None:
    """Pictures without noise, as scoring renders them of each prompt."""
    (folder / "reference/matched-32").mkdir(parents=True)
    for prompt in prompts:
        for sample in range(shape.samples):
            path = folder / f"reference/matched-32/{prompt['id']}_{sample}.png"
            draw(int(prompt["id"][1:]), sample, 32, 0).save(path)


def _scores(images: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    categories = {p["id"]: p["category"] for p in prompts}
    rows = []
    for image in images:
        if image["status"] != "ok":
            continue
        category = categories[image["prompt_id"]]
        chance = GENERATORS[image["generator"]]["acc"] - 0.12 * CATEGORIES.index(category)
        keys = {k: image[k] for k in ("key", "generator", "prompt_id", "sample")}
        right = float(rng.random() < chance)
        for metric, value in (
            ("scene_accuracy/all", right),
            ("clip_score(model=scenes)", float(rng.normal(0.2 + 0.1 * chance, 0.02))),
            ("scene_accuracy/colour", (1 + right) / 2),
        ):
            rows.append({**keys, "category": category, "metric": metric, "value": value})
    return rows


def _row(generator: str, metric: str, value: float | None, half: float | None, **more: Any) -> dict:
    known = value is not None and half is not None
    return {
        "generator": generator,
        "metric": metric,
        "value": value,
        "low": value - half if known else None,
        "high": value + half if known else None,
        "unit": "",
        "direction": "higher",
        "target": None,
        "images": 48,
        "references": None,
        "protocol": json.dumps({"judge": "a", "judge_sha256": "ab" * 32}),
        "note": None,
        **more,
    }


def _results(shape: Shape) -> list[dict[str, Any]]:
    rows = []
    for name in shape.generators:
        acc, gan = (facts := GENERATORS[name])["acc"], GENERATORS[name]["family"] == "gan"
        far = json.dumps({"encoder": "scenes", "n": 48, "references": 2000, "resize": "none"})
        lower = {"direction": "lower", "references": 2000, "protocol": far}
        rows += [
            _row(name, "fd(encoder=scenes)", facts["fd"], 1.3, **lower),
            _row(name, "kid(encoder=scenes)", facts["fd"] / 900, 0.0021, **lower),
            _row(name, "scene_accuracy/all", acc, 0.021),
            *(
                _row(name, f"scene_accuracy/{part}", min(1.0, acc + up), 0.015)
                for part, up in (("shape", 0.05), ("colour", 0.04), ("relation", -0.09))
            ),
            _row(name, "scene_accuracy/held_out_all", acc - 0.2, 0.05),
            _row(name, "clip_score(model=scenes)", 0.2 + 0.1 * acc, 0.004),
            _row(
                name,
                "diversity(encoder=scenes)",
                facts["div"],
                0.03,
                direction="target",
                target=1.0,
            ),
            _row(name, "vendi(encoder=scenes)", 40 * facts["div"], None),
            _row(name, "latency_seconds", facts["ms"] / 1e3, facts["ms"] / 4e4, direction="lower"),
            _row(name, "images_per_second", 2400 / facts["ms"], None, unit="1/s"),
            _row(name, "load_seconds", 0.08 if gan else 0.9, None, direction="lower"),
            _row(name, "peak_memory_bytes", 3.1e8 if gan else 6.2e8, None, direction="lower"),
            _row(name, "parameters", 1.31e6 if gan else 3.62e6, None, direction="none"),
            _row(name, "nfe", facts["nfe"], None, direction="lower"),
            _row(name, "training_seconds", 1740 if gan else 2070, None, direction="lower"),
        ]
    return rows


def _differences(shape: Shape) -> list[dict[str, Any]]:
    rows = []
    for i, a in enumerate(shape.generators):
        for b in shape.generators[i + 1 :]:
            for metric, key, half in PAIRED:
                d = GENERATORS[a][key] - GENERATORS[b][key]
                ends = {"difference": d, "low": d - half, "high": d + half, "win_rate": 0.5 + d}
                sure = {"effect_size": 3.21 * d, "p_value": 0.01, "p_holm": 0.046}
                size = {"prompts": shape.prompts, "prompts_needed": 1234, "detectable": 0.057}
                rows.append({"a": a, "b": b, "metric": metric, **ends, **sure, **size})
    return rows


def _info(name: str) -> dict[str, Any]:
    gan = GENERATORS[name]["family"] == "gan"
    seconds = np.linspace(30, 1740 if gan else 2070, 40)
    falls = ("generator_loss", "discriminator_loss") if gan else ("vae_loss", "denoising_loss")
    curve = [
        {"seconds": s, "kimg": s / 5, falls[0]: 0.5 / (1 + s / 90), falls[1]: 0.9 / (1 + s / 400)}
        for s in seconds.tolist()
    ]
    return {
        "name": name,
        "family": GENERATORS[name]["family"],
        "resolution": 32,
        "parameters": 1_310_000 if gan else 3_620_000,
        "conditioning": "captions-small",
        "training_images": 348_000,
        "training_seconds": float(seconds[-1]),
        "training_device": "cpu, 2 cores",
        "training": {
            "command": f"gandiff train {'gan' if gan else 'diffusion'} --minutes 30 --seed 3",
            "seed": 3,
            "seconds": float(seconds[-1]),
            "images": 348_000,
            "device": "cpu, 2 cores",
            "curve": curve,
            **(_gan_health() if gan else {}),
        },
        "licence": "Apache-2.0",
        "source": f"models/pretrained/{'gan' if gan else 'diffusion'}-scenes",
        "weights_sha256": ("a" if gan else "d") * 64,
        "abilities": ["text_to_image"] if gan else ["text_to_image", "trace"],
        "settings": {"truncation_psi": 1.0} if gan else {"num_inference_steps": _steps(name)},
    }


def _steps(name: str) -> int:
    return int(name.rpartition("-")[2])


def _gan_health() -> dict[str, Any]:
    """What ticks measured, an alarm, the truncation sweep and the nearest neighbours."""
    ticks = [
        {
            "seconds": 70.0 * k,
            "kimg": 14.5 * k,
            "score": 0.03 * k,
            "all": 0.035 * k,
            "unstated_coverage": 0.9 - 0.2 / k,
            "diversity": 0.6 + 0.01 * k,
            "fd": 4000.0 / k,
            "recall": 0.02 * k,
            "r_v": 0.01 * k,
        }
        for k in range(1, 25)
    ]
    alarm = {"kimg": 130.5, "text": "discriminator too strong: raise gamma & <b>wait</b>"}
    sweep = [
        {"truncation_psi": psi, "score": 0.6, "all": 0.9 - 0.1 * psi, "fd": 900.0 - 600 * psi}
        for psi in (0.0, 0.5, 1.0)
    ]
    near = {"searched": 4096, "median_distance": 1.25, "ratio": 0.97}
    return {"ticks": ticks, "events": [alarm], "truncation": sweep, "neighbours": near}


def _record(shape: Shape) -> dict[str, Any]:
    total = shape.prompts * shape.samples
    plan = {"planned": total, "ok": total, "failed": 0, "filtered": 0}
    counts = {name: {**plan} for name in shape.generators}
    counts[shape.generators[0]].update(ok=total - shape.failed, failed=shape.failed)
    pair = [n for n in ("gan", "ddim-20") if n in shape.generators]
    record: dict[str, Any] = json.loads((Path(__file__).parent / "run.json").read_text())
    record["comparison"]["samples_per_prompt"] = shape.samples
    record["comparison"]["report"]["gallery_prompts"] = shape.gallery
    record["suite"]["prompts"] = shape.prompts
    record.update(counts=counts, headline=pair if len(pair) == 2 else None)
    record["generators"] = {n: _info(n) for n in shape.generators}
    return record


def _traces(folder: Path, shape: Shape) -> None:
    if "ddim-20" not in shape.generators:
        return
    (folder / "traces").mkdir()
    frames = []
    for step in (0, 4, 9, 14, 19):
        paths = [f"traces/ddim_{step}_{kind}.png" for kind in ("noisy", "estimate")]
        draw(0, 0, 32, 110 - 5 * step).save(folder / paths[0])
        draw(0, 0, 32, 40 - 2 * step).save(folder / paths[1])
        frames.append(
            {"step": step, "timestep": 951.0 - 50 * step, "noisy": paths[0], "estimate": paths[1]}
        )
    trace = {"generator": "ddim-20", "prompt_id": "p0000", "prompt": "a red circle", "seed": 0}
    (folder / "traces" / "traces.json").write_text(json.dumps([{**trace, "frames": frames}]))


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a run folder of a given shape."""

    def make(**fields: Any) -> Path:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return build_run(folder, Shape(**fields))

    return make


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one finished run for all tests that only read it."""
    return build_run(tmp_path_factory.mktemp("run"), Shape(prompts=30, gallery=24, failed=1))


@pytest.fixture(scope="session")
def report(run_folder: Path) -> ReportPaths:
    """Return the report on that run."""
    return write_report(run_folder)


@pytest.fixture
def panels() -> Iterator[Callable[..., list[Any]]]:
    """Draw into panels above each other and return them, as they are drawn in the report."""

    def draw(how: Callable[..., None], what: Any) -> list[Any]:
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots(len(what.panels), 1, squeeze=False)
            how(list(axes[:, 0]), what, Look(FAMILY_COLOURS["gan"], "o", "gan"))
            figure.draw_without_rendering()
        return list(axes[:, 0])

    yield draw
    plt.close("all")
