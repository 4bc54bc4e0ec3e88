"""What the page on training tells people to type works: every block of it is run."""

from __future__ import annotations

import json
from pathlib import Path

import pages
import pytest
import toys
from small import SCENES

pytestmark = pytest.mark.timeout(900)  # a page may train and time several models


def test_training(here: Path) -> None:
    pages.play(
        "docs/training.md",
        {"trained": SCENES, "resume": {"--minutes 60": "--minutes 60"}},
        stand_ins={r"npm pack \S+": fetch_emoji, r"tar xzf emoji-datasource-google-\*\.tgz": _skip},
    )
    check_emoji()
    assert (here / "runs" / "trained" / "report" / "report.html").is_file()
    # "a genuine StableDiffusionPipeline that plain diffusers loads"
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained("runs/my-diffusion")
    assert type(pipeline) is StableDiffusionPipeline


def _skip(line: str) -> None:
    del line


def fetch_emoji(line: str) -> None:
    """The parts of the package that the page uses: two emoji, one of them in two skin tones."""
    assert line == "npm pack emoji-datasource-google@16.0.0"
    images = Path("package", "img", "google", "64")
    images.mkdir(parents=True)
    toys.save_toy_images(images, ["1f600.png", "1f44b.png", "1f44b-1f3fb.png", "1f91d-2.png"])
    hands = {
        "1F3FB": {"image": "1f44b-1f3fb.png"},
        "1F3FB-1F3FF": {"image": "1f91d-2.png"},
        "1F3FC": {"image": "not-drawn.png"},
    }
    rows = [
        {"image": "1f600.png", "name": "GRINNING FACE"},
        {"image": "1f44b.png", "name": "WAVING HAND", "skin_variations": hands},
    ]
    Path("package", "emoji.json").write_text(json.dumps(rows), encoding="utf-8")


def check_emoji() -> None:
    """The script of the page has written a caption for each picture that there is."""
    listing = Path("emoji", "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["file_name"]: row["text"] for row in map(json.loads, listing)} == {
        "1f44b-1f3fb.png": "waving hand, light skin",
        "1f44b.png": "waving hand",
        "1f600.png": "grinning face",
        "1f91d-2.png": "waving hand, light and dark skin",
    }
