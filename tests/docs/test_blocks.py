"""What README and docs tell people to type works: every block of them is run, page by page.

All pages share one folder, so what one page trained another one may use. What would take long or
needs a network is replaced by something small and local; everything else is typed as it stands.
"""

from __future__ import annotations

import json
from pathlib import Path

import pages
import pandas as pd
import pytest
import toys
from PIL import Image

from gandiff.experiments.training.gan import monitor_scenes

pytestmark = pytest.mark.timeout(900)  # a page may train and time several models
# A hub id is replaced by a pipeline on the disk, a large encoder by one that ships.
QUICK = "timing: {warmup: 0, repeats: 1, batch_sizes: [1]}\n"
MINE = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "toy-pipeline",
    "ViT-B-32/openai": "scenes",
    "encoder=dinov2": "encoder=scenes",
    "samples_per_prompt: 4": "samples_per_prompt: 2",
    "num_inference_steps: 20": "num_inference_steps: 3",
    "metrics:": f"{QUICK}metrics:",
}
SCENES = {
    "prompts: 128": "prompts: 4",
    "reference: {type: scenes": f"{QUICK}reference: {{type: scenes, images: 40",
}
PYTHON = {
    '"prompts": 8': '"prompts": 2',
    "samples_per_prompt=2,": "samples_per_prompt=2,\n"
    '    reference={"type": "scenes", "images": 40},\n'
    '    timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},',
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, toy_pipeline: Path, toy_gan: Path) -> Path:
    """A folder with what the pages say is there."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "toy-pipeline").symlink_to(toy_pipeline)
    (folder / "toy-gan").symlink_to(toy_gan)
    prompts = toys.PROMPTS[:2]
    (folder / "prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    toys.save_toy_images(
        folder / "midjourney", [f"{i:05d}_{k}.png" for i in (1, 2) for k in (0, 1)]
    )
    toys.save_toy_images(folder / "my-images", [f"{i}.png" for i in range(3)])
    toys.save_toy_images(folder / "photos", [f"{i}.jpg" for i in range(4)])
    toys.save_toy_inception(folder / "inception.pth")
    (folder / "experiments").symlink_to(pages.ROOT / "experiments")
    my_models = pages.blocks("docs/extending.md")["my-models"]
    (folder / "my_models.py").write_text(my_models.text, encoding="utf-8")
    _save_captioned(folder / "photos-with-captions")
    encoder, tokenizer = toys.build_text()
    encoder.save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    return folder


@pytest.fixture
def here(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in that folder; ticks of trainings measure fewer pictures."""
    monkeypatch.chdir(workshop)
    monkeypatch.delenv("GANDIFF_DEBUG", raising=False)
    monkeypatch.setattr(monitor_scenes, "_PROMPTS", 12)
    return workshop


def _save_captioned(folder: Path) -> None:
    """Pictures of 64 px and their captions, as the page describes them."""
    names = [f"{i}.png" for i in range(16)]
    folder.mkdir()
    for i, name in enumerate(names):
        toys.toy_image(i, (64, 64)).save(folder / name)
    lines = [
        json.dumps({"file_name": name, "text": toys.PROMPTS[i % len(toys.PROMPTS)]})
        for i, name in enumerate(names)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


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
    "docs/training.md",
    "docs/measuring.md",
)
TESTED = (
    "docs/index.md",
    "docs/extending.md",
    "docs/gan-health.md",
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


def test_the_readme(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {
        "gandiff run scenes": "gandiff run scenes --limit 2 --stop-after generate "
        "--set report.trace_prompts=0"
    }
    pages.play("README.md", {"first-run": first, "mine": MINE, "python": PYTHON})
    said = capsys.readouterr().out
    assert "star.png" in said
    assert "fd(encoder=inception)" in said
    results = pd.read_parquet("runs/from-python/results.parquet")
    assert "scene_accuracy/all" in set(results["metric"])
    assert len(list(here.glob("runs/scenes/images/*/*.png"))) == 5 * 2 * 4
    for name in ("mine", "mine-guidance-5", "from-python"):
        assert (here / "runs" / name / "report" / "report.html").is_file()


def test_comparing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare = {"encoder=dinov2": "encoder=scenes"}
    pages.play("docs/comparing.md", {"mine": MINE, "compare": compare, "python": PYTHON})
    said = capsys.readouterr()
    assert "the same: runs/mine/images/sd15/00001_0.png" in said.out
    assert said.out.count("(images: 12 ok)") == 6  # two runs, then a run's stages alone
    assert "diversity(encoder=scenes)" in said.out
    for name in ("mine", "mine-guidance-5", "from-python"):
        assert (here / "runs" / name / "report" / "report.html").is_file()
    assert "warning" not in said.err


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
    for name in ("drawn", "two-gans", "truncation", "prompts", "noise", "mixing"):
        with Image.open(f"{name}.png") as picture:
            assert picture.size[1] > 90
    with Image.open("star.png") as picture:
        assert picture.size == (32, 32)
    assert {"model.safetensors", "README.md"} <= {p.name for p in Path("copy-of-the-gan").iterdir()}


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


def test_measuring(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages.play("docs/measuring.md")
    assert "WRONG" not in capsys.readouterr().out
