"""What the other pages tell people to type works: every block of them is run, page by page."""

from __future__ import annotations

import json
from pathlib import Path

import pages
import pytest
from PIL import Image
from small import PYTHON_UNTIMED, QUICK, UNTIMED

pytestmark = pytest.mark.timeout(900)  # a page may train and time several models


def test_every_block_has_a_name_and_every_page_with_blocks_a_test() -> None:
    tested = {"README.md", *TESTED, *ALONE}
    for page in pages.PAGES:
        named = pages.blocks(page)
        assert {block.language for block in named.values()} <= pages.LANGUAGES, page
        assert not named or page in tested, f"no test runs the blocks of {page}"


ALONE = (
    "docs/comparing.md",
    "docs/folders.md",
    "docs/latent-space.md",
    "docs/measuring.md",
    "docs/training.md",  # in a file of its own, as the README is: workers share the files out
)
TESTED = (
    "docs/index.md",
    "docs/extending.md",
    "docs/pipelines.md",
    "docs/training-health.md",
    "docs/recipes.md",
    "docs/benchmarks.md",
)
CHANGES = {
    "docs/extending.md": {
        "stripes": {"prompts: 8": "prompts: 2", "reference:": f"{QUICK}reference:"}
    }
}


@pytest.mark.parametrize("page", TESTED)
def test_a_page(page: str, here: Path) -> None:
    ready = {r"gandiff train gan .*": train_with_ready_text}
    pages.play(page, CHANGES.get(page), stand_ins=ready)


def train_with_ready_text(line: str) -> None:
    """Train on a text encoder that is there already: the page on training makes its own."""
    pages.train(f"{line} --text-encoder text")


def test_comparing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare = {"encoder=dinov2": "encoder=scenes"}
    steps = "num_inference_steps: "
    sweep = {"prompts: 32": "prompts: 4", "[10, 20]": "[2]", f"{steps}20": f"{steps}2"}
    sd15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    change = {
        "init": {sd15: "toy-pipeline"},
        "mine": UNTIMED,
        "compare": compare,
        "python": PYTHON_UNTIMED,
        "sweep": sweep,
    }
    pages.play("docs/comparing.md", {**change, "run-sweep": {"[10,20,50]": "[2,3]"}})
    said = capsys.readouterr()
    assert "the same: runs/mine/images/sd15/00001_0.png" in said.out
    # Two runs, a report for a paper, then a run's stages alone.
    assert said.out.count("(images: 36 ok)") == 7
    assert "diversity(encoder=scenes)" in said.out
    for name in ("mine", "mine-guidance-5", "from-python"):
        assert (here / "runs" / name / "report" / "report.html").is_file()
    warnings = [line for line in said.err.splitlines() if line.startswith("warning")]
    # Encoders of scenes stand in for large ones, and few steps for many.
    expected = (
        *("know rendered scenes", "is not timed: timing is off", "images were made elsewhere"),
        "runs off its native point",
        "is left out: ",  # a metric of the first comparison, whose weights are not here
    )
    assert [line for line in warnings if not any(said in line for said in expected)] == []


def test_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(here.joinpath("runs").glob("*"))
    pages.play("docs/folders.md")
    said = capsys.readouterr().out
    assert {
        "fd(encoder=inception)",
        "fd(encoder=inception,resize=torchmetrics_antialias)",
        "kid(encoder=inception)",
    } <= set(said.split())
    assert "photos.npz: 4 images, scenes, with features" in said
    rows, _ = json.JSONDecoder().raw_decode(said[said.index("[\n") :])
    assert [row["metric"] for row in rows] == ["fd(encoder=scenes)", "vendi(encoder=scenes)"]
    assert [(row["images"], row["references"]) for row in rows] == [(3, 4), (3, None)]
    # "Every number comes with its protocol"
    wanted = {"encoder", "weights_sha256", "resize", "crop"}
    assert all(wanted <= row["protocol"].keys() for row in rows)
    assert set(here.joinpath("runs").glob("*")) == before


def test_latent_space(here: Path) -> None:
    pages.play("docs/latent-space.md", {"draw": {"runs/my-gan": "toy-gan"}})
    grids = ("drawn", "two-gans", "truncation", "prompts", "noise", "mixing", "units", "painted")
    for name in grids:
        with Image.open(f"{name}.png") as picture:
            assert picture.size[1] > 90
    with Image.open("star.png") as picture:
        assert picture.size == (32, 32)
    assert {"model.safetensors", "README.md"} <= {p.name for p in Path("copy-of-the-gan").iterdir()}


def test_measuring(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages.play("docs/measuring.md")
    assert "WRONG" not in capsys.readouterr().out
