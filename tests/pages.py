"""The code blocks of README and docs, by name, and how a test types them.

A block is named by a comment on the line before it, ``<!-- block: NAME -->``. One that cannot run
here says why, ``<!-- block: NAME, not run: REASON -->``: its command lines are then only parsed.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from gandiff.experiments.cli import app, main
from gandiff.experiments.plugins.registry import check_settings

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.glob("README.md"), *ROOT.glob("docs/**/*.md")]
}
LANGUAGES = {"sh", "yaml", "python", "toml"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"<!-- block: ([\w-]+)(?:, not run: ([^>]+))? -->\n$")

TINY = ["--minutes", "0.005", "--batch-size", "4", "--quiet"]
# What a benchmark is asked for in place of what takes minutes.
BENCHMARKS = {
    "overhead": ["--pairs", "1", "--prompts", "2", "--batch-size", "2"],
    "pipeline_overhead": ["--steps", "2", "--pairs", "1", "--batch-size", "1"],
    "folder_speed": ["--images", "7", "--side", "32", "--only", "gandiff"],
    "diffusion_training": ["--resolutions", "8", "--batch", "2", "--pairs", "1"],
    "gan_editing": ["--pictures", "2", "--parts", "inversion"],
    "gan_speed": ["--resolutions", "8", "--batch", "2", "--pairs", "1"],
    "interval_coverage": ["--simulations", "2", "--prompts", "24"],
}
_TRAINED: dict[Path, set[str]] = {}  # which lines trained what lies in a folder


class Block(NamedTuple):
    """A block of code: its page, its name, and why it is not run, if it is not."""

    page: str
    name: str
    language: str
    text: str
    not_run: str | None

    @property
    def file(self) -> str | None:
        """The name of the file that the block is the content of."""
        match = re.match(r"# file: (\S+)\n", self.text)
        return match[1] if match else None

    @property
    def lines(self) -> list[str]:
        """The lines that are typed into a shell."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks(page: str) -> dict[str, Block]:
    """The blocks of a page by name, in order; a picture in text characters is no code."""
    text = PAGES[page].read_text(encoding="utf-8")
    named: dict[str, Block] = {}
    for match in _FENCE.finditer(text):
        if match[1] == "text":
            continue
        mark = _NAME.search(text[: match.start()])
        assert mark, f"{page}: this block has no name:\n{match[0]}"
        assert mark[1] not in named, f"{page}: two blocks are named {mark[1]}"
        named[mark[1]] = Block(page, mark[1], match[1], match[2], mark[2])
    return named


def play(page: str, change: Mapping[str, Mapping[str, str]] | None = None, **typing: Any) -> None:
    """Do what a page says, from the first block to the last.

    ``change`` replaces, in the block of a name, what is large by what is small; each text that is
    to be replaced must be there exactly once.
    """
    waiting = dict(change or {})
    for name, block in blocks(page).items():
        text = block.text
        for old, new in waiting.pop(name, {}).items():
            assert text.count(old) == 1, f"{old!r} is not in {page}, block {name}"
            text = text.replace(old, new)
        do(block._replace(text=text), **typing)
    assert not waiting, f"{page} has no block {', '.join(waiting)}"


def do(block: Block, **typing: Any) -> None:
    """Do what one block says."""
    if block.not_run:
        parse(block)
    elif block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, f"{block.page}:{block.name}", "exec"), {"__name__": "__main__"})
    else:
        for line in block.lines:
            type_in(line, **typing)


def type_in(line: str, stand_ins: Mapping[str, Callable[[str], None]] | None = None) -> None:
    """Run one line; ``stand_ins`` are what is done in place of lines that match a pattern."""
    for pattern, way in {**(stand_ins or {}), **WAYS}.items():
        if re.fullmatch(pattern, line):
            way(line)
            return
    raise AssertionError(f"no test knows how to run {line!r}")


def gandiff(line: str) -> None:
    """Type a line that begins with ``gandiff``."""
    assert main(shlex.split(line)[1:]) == 0, line


def train(line: str) -> None:
    """Train for a moment in place of minutes; what one page has trained another one shares."""
    out = Path(line.partition("--out ")[2].split()[0])
    if line in _TRAINED.get(out.resolve(), ()):
        return
    tiny, count = re.subn(r"--minutes \d+", shlex.join(TINY), line)
    assert count == 1, line
    if line.startswith("gandiff train diffusion"):  # or what is measured takes minutes
        tiny += " --set sampling_steps=1"
    gandiff(tiny)
    assert list(out.rglob("*.safetensors"))
    _TRAINED.setdefault(out.resolve(), set()).add(line)


def replay(line: str) -> None:
    """Replay the first image in place of ``KEY``."""
    run = Path(shlex.split(line)[2])
    first = (run / "images.jsonl").read_text(encoding="utf-8").splitlines()[0]
    gandiff(line.replace("KEY", json.loads(first)["key"]))


def make(line: str) -> None:
    """See what make would do: the real thing is what runs these tests."""
    done = subprocess.run(
        ["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def module(line: str) -> None:
    """Run ``python -m gandiff...``, a benchmark with next to nothing to do."""
    _, _, name, *arguments = shlex.split(line)
    _check_options(name, arguments)
    small = BENCHMARKS.get(name.rpartition(".")[2], arguments)
    assert import_module(name).main(small) in (0, None)


def _check_options(name: str, arguments: list[str]) -> None:
    """Every option of the line is one that the module's source knows."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, name
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert all(f'"{word}"' in source for word in arguments if word.startswith("--")), arguments


def script(line: str) -> None:
    """Run a script that the page has shown."""
    subprocess.run([sys.executable, *shlex.split(line)[1:]], check=True)


WAYS: Mapping[str, Callable[[str], None]] = {
    r"make [\w-]+": make,
    r"gandiff replay \S+ KEY": replay,
    r"gandiff train .*": train,
    r"gandiff .*": gandiff,
    r"python -m gandiff\..*": module,
    r"python \w+\.py": script,
}


def parse(block: Block) -> None:
    """Read a block without running it: command lines by the program's own parser, the settings of
    generators by their types.
    """
    if block.language == "toml":
        assert tomllib.loads(block.text)
        return
    if block.language == "yaml":
        for settings in YAML(typ="safe").load(block.text)["generators"].values():
            check_settings(settings.pop("type"), settings)
        return
    assert block.language == "sh"
    for line in block.lines:
        if line.startswith("gandiff "):
            parse_command(shlex.split(line)[1:])


def parse_command(words: list[str]) -> None:
    """Let the command that the words name read its options; it raises for one that is wrong."""
    import typer

    command: Any = typer.main.get_command(app)
    context = command.make_context("gandiff", words)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def words_of_prose(page: str) -> int:
    """How many words a page has besides code, comments and the addresses of links."""
    text = PAGES[page].read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->", "", _FENCE.sub("", text), flags=re.DOTALL)
    return len(re.sub(r"\]\([^)]*\)", "]", text).split())
