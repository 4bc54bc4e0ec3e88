"""One picture under several names: it is said, values keep every copy, intervals count it once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toys
from scene_toys import QUICK

import gandiff
from gandiff.experiments.cli import main
from gandiff.experiments.compare.power import power_of_run
from gandiff.experiments.compare.runs import compare_runs
from gandiff.experiments.prompts.suites import Prompt, PromptSuite

KEPT = ("fd", "cmmd", "precision", "density", "coverage", "vendi")  # copies do not change these
METRICS = ",".join(
    f"{name}(encoder={'clip:scenes' if name == 'cmmd' else 'scenes'})"
    for name in (*KEPT, "fd_inf", "kid", "recall")
)


def by_name(source: Path, target: Path) -> None:
    target.mkdir()
    for k in range(3):
        for path in source.iterdir():
            shutil.copy(path, target / f"{path.stem} ({k}){path.suffix}")


def by_folder(source: Path, target: Path) -> None:
    for name in ("a", "b", "c"):
        shutil.copytree(source, target / name)


def some(source: Path, target: Path) -> None:
    """Three pictures twice more, behind all others."""
    shutil.copytree(source, target)
    for path in sorted(source.iterdir())[:3]:
        for k in range(2):
            shutil.copy(path, target / f"z{path.stem}-{k}{path.suffix}")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, start, count in (("once", 0, 20), ("ref", 100, 60)):
        (folder / name).mkdir()
        for i in range(count):
            toys.toy_image(start + i).save(folder / name / f"{i:02d}.png")
    for name, copy in (("names", by_name), ("folders", by_folder), ("some", some)):
        copy(folder / "once", folder / name)
    return folder


def score(
    capsys: Any, folder: Path, reference: Path, code: int = 0
) -> tuple[dict[str, dict[str, Any]], str]:
    words = ["score", str(folder), "--reference", str(reference), "--metrics", METRICS]
    assert main([*words, "--json", "-q"]) == code
    shown = capsys.readouterr()
    rows = {row["metric"].partition("(")[0]: row for row in json.loads(shown.out)}
    return rows, shown.err


def width(row: dict[str, Any]) -> float:
    return float(row["high"] - row["low"])


@pytest.mark.parametrize("name", ["names", "folders"])
def test_a_folder_copied_three_times_knows_no_more(
    capsys: pytest.CaptureFixture[str], pictures: Path, name: str
) -> None:
    once, quiet = score(capsys, pictures / "once", pictures / "ref")
    thrice, said = score(capsys, pictures / name, pictures / "ref")
    assert "copies" not in quiet
    assert "40 of 60 images are copies of others" in said
    for metric, row in once.items():
        # KID leaves out pairs of an image with itself, and copies are pairs; recall hangs on the
        # fifth neighbour, which copies bring near.
        assert width(thrice[metric]) >= (0.95 if metric == "kid" else 0.999) * width(row), metric
        assert thrice[metric]["images"] == 60
        if metric in KEPT:
            assert thrice[metric]["value"] == pytest.approx(row["value"], rel=0.01), metric
    assert width(thrice["vendi"]) == pytest.approx(width(once["vendi"]), rel=1e-6)
    assert thrice["fd"]["note"].replace("different ", "") == once["fd"]["note"]
    low = "N < d: 20 different images for 96 dimensions; biased upwards"  # beside a count of 60
    assert thrice["fd"]["note"].startswith(low)


def test_some_copies_and_copies_in_the_reference(
    capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    once, _ = score(capsys, pictures / "once", pictures / "ref")
    more, said = score(capsys, pictures / "some", pictures / "names")
    assert "6 of 26 images are copies of others" in said
    assert "40 of 60 reference images are copies of others" in said
    assert width(more["vendi"]) > 0.8 * width(once["vendi"])


def test_one_picture_alone_has_no_interval(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    for i in range(12):
        shutil.copy(pictures / "once" / "00.png", tmp_path / f"{i}.png")
    rows, said = score(capsys, tmp_path, pictures / "ref", code=1)  # nothing to extrapolate from
    assert "11 of 12 images are copies of others" in said
    assert rows["vendi"]["value"] == pytest.approx(1)
    assert {row["low"] for row in rows.values()} == {None}
    assert "equal pictures leave 1 of the 5 independent groups" in rows["vendi"]["note"]


Paint = Callable[[Sequence[str], Sequence[int]], list[np.ndarray]]


def painter(salt: str) -> Paint:
    """A picture of the prompt alone, whatever the seed: the same prompt, the same bytes."""

    def paint(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
        draws = [int.from_bytes(hashlib.sha256((salt + p).encode()).digest()[:4]) for p in prompts]
        return [np.asarray(toys.toy_image(draw)) for draw in draws]

    return paint


def run(folder: Path, times: int) -> Any:
    texts = [f"{text} {word}" for text in toys.PROMPTS for word in ("here", "there")] * times
    prompts = tuple(Prompt(id=f"p{i}", text=text, category="c") for i, text in enumerate(texts))
    return gandiff.compare(
        **{**QUICK, "samples_per_prompt": 1},
        generators={"one": painter("one"), "other": painter("other")},
        suite=PromptSuite(name="own", prompts=prompts),
        metrics=["clip_score(model=scenes)", "vendi(encoder=scenes)"],
        out=folder,
        quiet=True,
    )


def test_who_copies_the_reference_is_said_and_does_not_win(tmp_path: Path) -> None:
    prompts = tuple(Prompt(id=f"p{i}", text=f"toy {i}", category="c") for i in range(30))
    for i in range(30):
        for name in ("real", "reference"):
            (tmp_path / name).mkdir(exist_ok=True)
            # Other PNG files than those that a run writes of the same pixels.
            toys.toy_image(i).save(tmp_path / name / f"p{i}_0.png", compress_level=1)
    found = gandiff.compare(
        **{**QUICK, "samples_per_prompt": 1},
        generators={
            "own": painter("one"),
            "real": {"type": "folder", "folder": str(tmp_path / "real")},
        },
        suite=PromptSuite(name="own", prompts=prompts),
        metrics=["fd(encoder=scenes)"],
        reference={"folder": str(tmp_path / "reference")},
        out=tmp_path / "run",
        quiet=True,
    )
    said = "30 of 30 images of real are images of the reference, byte for byte: distances to it say"
    assert [line for line in found.warnings if "reference" in line] == [f"{said} nothing"]
    for page in ("report.md", "report.html"):
        assert said in (tmp_path / "run" / "report" / page).read_text(encoding="utf-8")
    (line,) = (line for line in found.verdict if "distribution" in line)
    assert line.startswith("On distribution, own against real is undecided")
    assert "30 of 30 images that get 0" in line


def test_a_folder_of_reference_images_is_said(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures / "ref", tmp_path / "mine")
    _, said = score(capsys, tmp_path / "mine", pictures / "ref")
    assert "60 of 60 images are images of the reference, byte for byte" in said


def test_prompts_with_the_same_pictures_are_one_in_every_table_of_a_run(tmp_path: Path) -> None:
    once, thrice = run(tmp_path / "once", 1), run(tmp_path / "thrice", 3)
    assert not [warning for warning in once.warnings if "copies" in warning]
    assert [w.partition(" (")[0] for w in thrice.warnings if "copies" in w] == [
        "one: 32 of 48 images are copies of others",
        "other: 32 of 48 images are copies of others",
    ]
    columns = ["value", "low", "high"]
    for table, keys in (
        ("results", ["generator", "metric"]),
        ("categories", ["generator", "metric"]),
        ("differences", ["metric"]),
    ):
        ours, theirs = (
            pd.read_parquet(tmp_path / name / f"{table}.parquet").set_index(keys)
            for name in ("once", "thrice")
        )
        if table == "differences":
            columns = ["difference", "low", "high", "p_value", "effect_size", "detectable"]
        chosen = [row for row in ours.index if "clip_score" in str(row) or "vendi" in str(row)]
        np.testing.assert_allclose(
            theirs.loc[chosen, columns].astype(float), ours.loc[chosen, columns].astype(float),
            rtol=1e-6,
        )  # fmt: skip
    planned = [
        power_of_run(tmp_path / name, metric="clip_score", difference=0.01)[0]
        for name in ("once", "thrice")
    ]
    assert planned[1].prompts == planned[0].prompts == 16
    assert planned[1].detectable == pytest.approx(planned[0].detectable)
    changes = [
        compare_runs(tmp_path / name, tmp_path / name, generators={"one": "other"})
        for name in ("once", "thrice")
    ]
    ours, theirs = (next(c for c in one.changes if "clip_score" in c.metric) for one in changes)
    assert (theirs.low, theirs.high) == pytest.approx((ours.low, ours.high))
