"""What the README tells people to type works: every command of it is run, section by section.

A section starts in an empty folder that holds what the page says is there. What would take long or
need a network is replaced by something small and local; everything else is typed as it stands.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import toys
from PIL import Image

from gandiff import compare
from gandiff.experiments.benchmarks import folder_speed as peer_benchmark
from gandiff.experiments.benchmarks import gan_speed as gan_benchmark
from gandiff.experiments.benchmarks import interval_coverage, overhead
from gandiff.experiments.cli import main
from gandiff.experiments.training.gan import over_seeds as seeds

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_MINUTES = ["--minutes", "0.005", "--batch-size", "4", "--quiet"]
# What stands for what: a hub id by a pipeline on the disk, a large encoder by one that ships.
SMALL = {
    "mine.yaml": {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": "toy-pipeline",
        "ViT-B-32/openai": "scenes",
        "encoder=dinov2": "encoder=scenes",
        "samples_per_prompt: 4": "samples_per_prompt: 2",
        "num_inference_steps: 20": "num_inference_steps: 3",
        "metrics:": "timing: {warmup: 0, repeats: 1, batch_sizes: [1]}\nmetrics:",
    },
    "my_models.py": {},
    "emoji.py": {},
    "python": {
        '"prompts": 8': '"prompts": 2',
        "samples_per_prompt=2,": "samples_per_prompt=2,\n"
        '    reference={"type": "scenes", "images": 40},\n'
        '    timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},',
    },
}


class Block(NamedTuple):
    """A block of code: its language, the section that it stands in, and the text."""

    language: str
    section: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is the content of."""
        found = re.match(r"# file: (\S+)\n", self.text)
        return found[1] if found else None


def blocks() -> list[Block]:
    """All blocks in the order of the page."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(page):
        section = re.findall(r"^## (.+)$", page[: match.start()], re.MULTILINE)[-1]
        found.append(Block(match[1], section, match[2]))
    return found


def commands(section: str) -> list[str]:
    """The lines of a section that are typed into a shell."""
    lines = [b.text.splitlines() for b in blocks() if b.language == "sh" and b.section == section]
    return [line for lines_ in lines for line in lines_ if line.strip()]


def small(name: str, text: str) -> str:
    """Replace what is large; what is to be replaced has to be there, once."""
    for old, new in SMALL[name].items():
        assert text.count(old) == 1, f"{old!r} is not in the README's {name}"
        text = text.replace(old, new)
    return text


@pytest.fixture
def folder(empty_folder: Path, toy_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page shows and speaks of."""
    for block in blocks():
        if block.file:
            (empty_folder / block.file).write_text(small(block.file, block.text), encoding="utf-8")
    (empty_folder / "toy-pipeline").symlink_to(toy_pipeline)
    (empty_folder / "prompts.txt").write_text("a red star\na dog on a sofa\n", encoding="utf-8")
    toys.save_toy_images(
        empty_folder / "midjourney", [f"{i:05d}_{k}.png" for i in (1, 2) for k in (0, 1)]
    )
    toys.save_toy_images(empty_folder / "my-images", [f"{i}.png" for i in range(3)])
    toys.save_toy_images(empty_folder / "photos", [f"{i}.jpg" for i in range(4)])
    # Modules beside a comparison are imported by name; the next test has files of its own.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return empty_folder


def save_captioned(folder: Path) -> None:
    """Pictures of 64 px and their captions, as the page describes them."""
    names = [f"{i}.png" for i in range(16)]
    for i, name in enumerate(names):
        folder.mkdir(exist_ok=True)
        toys.toy_image(i, (64, 64)).save(folder / name)
    lines = [
        json.dumps({"file_name": name, "text": toys.PROMPTS[i % len(toys.PROMPTS)]})
        for i, name in enumerate(names)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def gandiff(line: str, *more: str) -> None:
    """Type a line that begins with ``gandiff``."""
    words = shlex.split(line)
    assert words[0] == "gandiff", line
    assert main([*words[1:], *more]) == 0, line


def make(line: str) -> None:
    """Look at what make would do: the real thing is what runs these tests."""
    done = subprocess.run(
        ["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = {"bench": "gandiff run experiments/comparisons/scenes.yaml", "test": "pytest"}
    assert wanted[line.split()[1]] in done.stdout


def replay(line: str) -> None:
    run = Path(shlex.split(line)[2])
    first = (run / "images.jsonl").read_text(encoding="utf-8").splitlines()[0]
    gandiff(line.replace("KEY", json.loads(first)["key"]))


def train(line: str) -> None:
    line, found = re.subn(r"--minutes \d+", shlex.join(NO_MINUTES), line)
    assert found == 1
    gandiff(line)
    out = Path(line.partition("--out ")[2].split()[0])
    assert list(out.rglob("*.safetensors"))


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


def list_emoji(line: str) -> None:
    subprocess.run([sys.executable, line.split()[1]], check=True)
    listing = Path("emoji", "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["file_name"]: row["text"] for row in map(json.loads, listing)} == {
        "1f44b-1f3fb.png": "waving hand, light skin",
        "1f44b.png": "waving hand",
        "1f600.png": "grinning face",
        "1f91d-2.png": "waving hand, light and dark skin",
    }


def measure_overhead(line: str) -> None:
    assert line == "python -m gandiff.experiments.benchmarks.overhead"
    overhead.main(["--pairs", "1", "--prompts", "2", "--batch-size", "2"])


def measure_speed(line: str) -> None:
    assert line == "python -m gandiff.experiments.benchmarks.folder_speed --images 500 --side 256"
    peer_benchmark.main(["--images", "7", "--side", "32", "--only", "gandiff"])


def measure_gan(line: str) -> None:
    assert line == "python -m gandiff.experiments.benchmarks.gan_speed"
    gan_benchmark.main(["--resolutions", "8", "--batch", "2", "--pairs", "1"])


def spread_over_seeds(line: str) -> None:
    assert seeds.main(line.split()[3:]) == 0


def simulate(line: str) -> None:
    assert line == "python -m gandiff.experiments.benchmarks.interval_coverage --simulations 500"
    interval_coverage.main(["--simulations", "2", "--prompts", "24"])


WAYS: tuple[tuple[str, Callable[[str], None]], ...] = (
    (r"make (bench|test)", make),
    (r"\. \.venv/bin/activate", lambda _: None),  # the environment that the tests run in
    (r"gandiff replay \S+ KEY", replay),
    (r"gandiff train .*", train),
    (r"npm pack \S+", fetch_emoji),
    (r"tar xzf emoji-datasource-google-\*\.tgz", lambda _: None),
    (r"python emoji\.py", list_emoji),
    (r"python -m gandiff\.experiments\.benchmarks\.overhead", measure_overhead),
    (r"python -m gandiff\.experiments\.benchmarks\.folder_speed.*", measure_speed),
    (r"python -m gandiff\.experiments\.benchmarks\.interval_coverage.*", simulate),
    (r"python -m gandiff\.experiments\.benchmarks\.gan_speed", measure_gan),
    (r"python -m gandiff\.experiments\.training\.gan\.over_seeds .*", spread_over_seeds),
    (r"gandiff .*", gandiff),
)


def type_in(line: str) -> None:
    """Run one line of the page."""
    for pattern, way in WAYS:
        if re.fullmatch(pattern, line):
            way(line)
            return
    raise AssertionError(f"no test knows how to run {line!r}")


def python_blocks() -> list[Block]:
    return [b for b in blocks() if b.language == "python" and not b.file]


def test_the_page_has_only_blocks_that_are_run() -> None:
    found = blocks()
    assert {b.language for b in found} <= {"sh", "yaml", "python"}
    assert all(b.file for b in found if b.language == "yaml")
    assert {b.file for b in found if b.file} == {"mine.yaml", "my_models.py", "emoji.py"}
    assert {b.section for b in found if b.language == "sh"} == TESTED
    assert [b.section for b in python_blocks()] == ["Train the baselines", "Python"]
    words = " ".join(shlex.split(" ".join(commands("Compare your own models"))))
    assert all(f"gandiff {verb} " in words for verb in ("run", "generate", "score", "report"))


TESTED = {
    "Two commands",
    "Compare your own models",
    "Evaluate a folder",
    "Compare two runs",
    "Train the baselines",
    "How it measures",
}


@pytest.mark.parametrize("section", ["Two commands", "How it measures"])
def test_commands_that_need_nothing(section: str, empty_folder: Path) -> None:
    for line in commands(section):
        type_in(line)
    drawn = ["runs/draw/a-red-star.png"] if section == "Two commands" else []
    assert [str(p) for p in Path().glob("runs/*/*.png")] == drawn
    assert {p.name for p in empty_folder.iterdir()} == {p.split("/")[0] for p in drawn}


def test_comparing_models_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = commands("Compare your own models")
    for line in lines:
        type_in(line)
    said = capsys.readouterr()
    assert "the same: runs/mine/images/sd15/00001_0.png" in said.out
    assert said.out.count("(images: 12 ok)") == 5  # two runs, then a run's stages alone
    for name in ("mine", "mine-guidance-5"):
        assert (folder / "runs" / name / "report" / "report.html").is_file()
    assert "warning" not in said.err


def test_evaluating_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toys.save_toy_inception(folder / "inception.pth")
    for line in commands("Evaluate a folder"):
        type_in(line)
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
    assert not (folder / "runs").exists()


def test_comparing_two_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("before", "after"):
        compare(
            generators={"gan": {"type": "gan"}, "calm": {"type": "gan", "truncation_psi": 0.5}},
            suite={"name": "scenes", "prompts": 8},
            metrics=["scene_accuracy", "diversity(encoder=scenes)", "fd(encoder=scenes)"],
            samples_per_prompt=2,
            reference={"type": "scenes", "images": 40},
            timing={"warmup": 0, "repeats": 1, "batch_sizes": [1]},
            out=folder / "runs" / name,
            quiet=True,
        )
    capsys.readouterr()
    for line in commands("Compare two runs"):
        type_in(line)
    said = capsys.readouterr().out
    assert "scene_accuracy/all" in said
    assert "fd(encoder=scenes)" in said


def test_training(folder: Path) -> None:
    save_captioned(folder / "photos-with-captions")
    for line in commands("Train the baselines"):
        type_in(line)
    # "A trained folder is named in a comparison file"
    assert (
        main(["validate", "mine.yaml", "--set", "generators.sd15.pipeline=runs/my-diffusion"]) == 0
    )
    made = {"type": "gan", "weights": "runs/my-photo-gan"}
    setting = f"generators.elsewhere={json.dumps(made)}"
    assert main(["validate", "mine.yaml", "--set", setting]) == 0
    from diffusers import StableDiffusionPipeline

    for name in ("truncation", "prompts", "noise", "mixing"):
        with Image.open(folder / "runs" / f"{name}.png") as picture:
            assert picture.size[1] > 90
    pipeline = StableDiffusionPipeline.from_pretrained("runs/my-diffusion")
    assert type(pipeline) is StableDiffusionPipeline


def run_python(text: str) -> None:
    exec(compile(text, "README.md", "exec"), {"__name__": "__main__"})


def test_the_gan_in_python(empty_folder: Path) -> None:
    run_python(python_blocks()[0].text)
    with Image.open("star.png") as picture:
        assert picture.size == (32, 32)
    assert {"model.safetensors", "README.md"} <= {p.name for p in Path("copy-of-the-gan").iterdir()}


def test_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_python(small("python", python_blocks()[1].text))
    said = capsys.readouterr().out
    assert "scene_accuracy/all" in said
    assert (folder / "runs" / "from-python" / "report" / "report.html").is_file()
