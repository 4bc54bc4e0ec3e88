"""Command lines and files for the fuzz test: whole ones, and the same with one thing changed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import toys
import typer.main
from hypothesis import strategies as st
from PIL import Image

from gandiff.experiments.cli import app, main

COMPARISON: dict[str, Any] = {
    "name": "c",
    "suite": {"name": "prompts.csv", "limit": 3},
    "samples_per_prompt": 1,
    "seed": 0,
    "device": "cpu",
    "dtype": "float32",
    "batch_size": 2,
    "timing": {"enabled": False},
    "reference": {"type": "folder", "folder": "b", "images": 4},
    "metrics": ["vendi(encoder=scenes)", "clip_score(model=scenes)", "fd(encoder=scenes)"],
    "report": {"gallery_prompts": 2, "trace_prompts": 0, "trace_steps": 1},
    "generators": {
        "one": {"type": "folder", "folder": "a", "pattern": "{prompt_id}_{sample}"},
        "two": {"type": "toy.py:make", "shade": 3},
    },
}
TOY = '''
import numpy as np
def make(prompts, seeds, shade: int = 0, word: str = "", speed: float = 1.0):
    """Noise of 8 px."""
    return [np.random.default_rng(s).integers(shade % 200, 255, (8, 8, 3), np.uint8) for s in seeds]
'''
TRAIN = "--resolution 8 --batch-size 2 --minutes 0.0001 --data captioned --quiet"
FD, KID = "--metrics fd(encoder=scenes)", "--metrics kid(encoder=scenes),vendi(encoder=scenes)"
LINES = [  # ``|`` stands for a space inside an argument
    f"score a --reference b {FD}",
    f"score a --reference s.npz {FD}",
    f"score a --reference b {KID} --max-images 4",
    "score a --metrics vendi(encoder=scenes),near_duplicates(encoder=scenes)",
    "score a --reference b --metrics precision(encoder=scenes,nearest_k=1),near_duplicates",
    "score run",
    "stats a --out t.npz --encoder scenes",
    "suites prompts.csv --head 2",
    "suites prompts.txt",
    "suites prompts.jsonl --json",
    "validate c.yaml",
    "validate c.yaml --set seed=3 --json",
    "run c.yaml --out new --stop-after generate",
    "run c.yaml --out new --limit 2 --set samples_per_prompt=2 --stop-after score",
    "run c.yaml --out run",
    "generate run",
    "time run",
    "report run",
    "replay run KEY",
    "compare run run --metrics vendi(encoder=scenes)",
    "compare run run --fail-if vendi(encoder=scenes)>+1",
    "power run --metric clip_score(model=scenes) --difference 0.1",
    "draw a|star --model toy.py:make --out d.png --no-open",
    "draw a|star a|ring --model gan8,truncation_psi=0.5 --out d.png --samples 2 --no-open",
    "explore truncation a|star --weights gan8 --psi 0,1 --out t.png",
    "explore interpolate a|star --weights gan8 --steps 2 --out t.png",
    "explore mix a|star a|ring --weights gan8 --out t.png",
    "list metrics",
    "list generators --json",
]
SLOW_LINES = [  # a second or more
    f"train gan {TRAIN} --kimg 0.004 --ticks 1 --out t",
    f"train diffusion {TRAIN} --out t",
    f"train text {TRAIN} --out t",
]
# Options that would start other programs or processes, compile, or work for long.
_LEFT_OUT = {"--open", "--processes", "--compile", "--minutes", "--kimg", "--sweep", "--ticks"}
_LEFT_OUT |= {"--help", "--batch-size", "--tensorboard", "--samples", "--resolution", "--guidance"}
ODD = ["", " ", "x", "-1", "0", "1", "2", "0.5", "nan", "inf", "1e9", "true", "null", "[]", "{}"]
ODD += ["1,2", "=", "a=b", "a", "b", "run", "s.npz", "c.yaml", "prompts.csv", "a/00001_0.png"]
ODD += ["missing", "missing/x.png", "missing.yaml", ".", "gan8", "captioned", "FID", "é 東京 🐉"]
ODD += ["cuda", "cuda:9", "mps", "meta", "\udcff", "a\nb", "x" * 300, "(", "fd(", "*", "-", "--"]
VALUES: list[Any] = [None, True, False, -1, 0, 1, 2, 0.5, "", "x", [], {}, [1], {"a": 1}, "é\u2028"]
VALUES += ["cuda", "float16", "none", 1e300, -(2**70), "../b", "a", "s.npz", ["vendi"], [None]]


def build_place(folder: Path) -> Path:
    """Everything that the lines name; the run was made by the first comparison."""
    rng = np.random.default_rng(0)
    for name, count in (("a", 5), ("b", 6)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i + 1:05d}_0.png")
    texts = ["a red star", "a blue ring", "a heart, small"]
    (folder / "prompts.txt").write_text("\n".join(texts))
    (folder / "prompts.csv").write_text("prompt,category\n" + "".join(f'"{t}",c\n' for t in texts))
    lines = [json.dumps({"id": f"p{i}", "text": text}) for i, text in enumerate(texts)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "toy.py").write_text(TOY)
    (folder / "c.yaml").write_text(json.dumps(COMPARISON, indent=1))
    pictures = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(4)]
    toys.save_captioned(folder / "captioned", pictures, [*texts, "a star"])
    _save_gan(folder / "gan8")
    return folder


def _save_gan(folder: Path) -> None:
    import torch

    from gandiff.models.gan.config import GanConfig
    from gandiff.models.gan.model import TextToImageGan
    from gandiff.models.gan.synthesis import GeneratorNetwork
    from gandiff.models.text import TextEncoder

    small: dict[str, Any] = {"text_width": 32, "z_width": 8, "style_width": 16, "heads": 2}
    config = GanConfig(resolution=8, g_widths=(8, 8), d_widths=(8,), attention=(8,), **small)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = GeneratorNetwork(config)
    TextToImageGan(network, TextEncoder(*toys.build_text())).save_pretrained(folder)


def finish_place(folder: Path) -> None:
    """Make the run and the statistics, in the folder that is the working directory."""
    assert main(["run", "c.yaml", "--out", "run", "--quiet"]) == 0
    assert main(["stats", "a", "--out", "s.npz", "--encoder", "scenes", "--quiet"]) == 0
    assert (folder / "run" / "report").is_dir()


@dataclasses.dataclass(frozen=True)
class Try:
    """A command line, and what was done to the files before; ``changed`` is None for nothing."""

    arguments: Sequence[str]
    changed: str | None


def options_of(words: Sequence[str]) -> list[str]:
    """The options of a command that a try may add."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
    names = [param.opts[0] for param in command.params if param.opts[0].startswith("--")]
    return sorted(name for name in names if name not in _LEFT_OUT)


@st.composite
def tries(draw: st.DrawFn, place: Path, lines: Sequence[str]) -> Try:
    """A line as it is, or with an option, an argument or a file changed in ``place``."""
    line = draw(st.sampled_from(lines))
    key = json.loads((place / "run" / "images.jsonl").read_text().splitlines()[0])["key"]
    words = [word.replace("|", " ").replace("KEY", key) for word in line.split(" ")]
    how = draw(st.sampled_from(["whole", "option", "argument", "file", "file", "field", "field"]))
    changed = None
    if how == "option":
        words.append(draw(st.sampled_from(options_of(words))))
        words += draw(st.just([]) | st.sampled_from(ODD).map(lambda odd: [odd]))
    elif how == "argument":
        at = draw(st.integers(1, len(words) - 1))
        if not words[at].startswith("--") and words[at - 1] not in _LEFT_OUT:
            words[at] = draw(st.sampled_from(ODD))
    elif how == "file":
        changed = draw(_changed_file(place))
    elif how == "field":
        changed = draw(_changed_field(place))
    return Try(words, changed)


@st.composite
def _changed_file(draw: st.DrawFn, place: Path) -> str:
    """Damage one file: remove, cut, empty or fill it, or put a folder in its place."""
    files = sorted(p for p in place.rglob("*") if p.is_file() and p.suffix != ".py")
    file = draw(st.sampled_from(files))
    how = draw(st.sampled_from(["remove", "cut", "empty", "noise", "add", "folder", "other"]))
    content = file.read_bytes()
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "other":
        shutil.copyfile(draw(st.sampled_from(sorted(set(files) - {file}))), file)
    elif how != "remove":
        cut = draw(st.integers(0, len(content)))
        noise = draw(st.binary(min_size=1, max_size=8))
        new = {
            "cut": content[:cut],
            "empty": b"",
            "noise": content[:cut] + noise + content[cut + len(noise) :],
            "add": content + noise,
        }
        file.write_bytes(new[how])
    return f"{how} {file.relative_to(place)}"


@st.composite
def _changed_field(draw: st.DrawFn, place: Path) -> str:
    """Set, add or drop one field of the comparison file, of run.json or of another JSON file."""
    names = ["c.yaml", "c.yaml", "c.yaml", "run/run.json", "gan8/config.json"]
    file = place / draw(st.sampled_from(names))
    data = json.loads(file.read_text())
    here, path = data, []
    while True:
        keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
        key: Any = draw(st.sampled_from([*keys, "new"] if isinstance(here, dict) else keys))
        path.append(key)
        inner = here.get(key) if isinstance(here, dict) else here[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.integers(0, 3)) == 0:
            break
        here = inner
    if draw(st.integers(0, 3)) == 0 and key != "new":
        del here[key]
        value: Any = "dropped"
    else:
        here[key] = value = draw(st.sampled_from(VALUES))
    file.write_text(json.dumps(data))
    return f"{file.relative_to(place)}: {path} = {value!r}"
