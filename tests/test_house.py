"""The house stays in order: sizes, who imports whom, verbs that name files, words."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("models", "evaluate", "experiments", "reports", "src/gandiff/common")
LINES, FUNCTION_LINES, LEVELS = 300, 50, 8
# Highest first; those on one line do not know each other. import-linter holds the same for every
# module, this test draws the rooms.
ROOMS = (
    {"benchmarks"},
    {"cli"},
    {"api"},
    {"studio"},
    {"compare", "draw", "several", "start", "training"},
    {"scoring"},
    {"timing"},
    {"runs"},
    {"config"},
    {"prompts"},
    {"plugins", "data", "doctor"},
    {"scenes"},
)
VERBS = (
    *("plan", "generate", "resume", "lock", "time", "score", "compare", "power", "report"),
    *("replay", "train", "sweep", "draw", "studio", "list", "validate", "doctor"),
)
# Words of the private dialect that the code once spoke, and what to write instead.
DIALECT = {
    r"\btold": "reported, logged, captioned, given",
    "anew|afresh": "again",
    "gone on": "resumed, continued",
    r"\bneeded (is|are)\b(?! None)": "must be",
}
TEXTS = {".py", ".md", ".yaml", ".j2", ".js", ".json", ".toml"}


def product_files() -> list[Path]:
    return sorted(
        file
        for folder in PRODUCT
        for file in (ROOT / folder).rglob("*.py")
        if "state" not in file.relative_to(ROOT).parts
    )


_DATA = ("tokenizer.json", "vocab.json", "merges.txt")  # words of captions, by a machine


def texts() -> list[Path]:
    """Everything in the product, README and docs that a person may read."""
    places = (*PRODUCT, "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml")
    roots = [ROOT / place for place in places]
    files = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root])]
    return sorted(f for f in files if f.suffix in TEXTS and f.name not in _DATA)


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def name_of(file: Path) -> str:
    """The module's name: ``gandiff.experiments.runs.plan``."""
    relative = file.relative_to(ROOT).as_posix().removeprefix("src/gandiff/").removesuffix(".py")
    return "gandiff." + relative.removesuffix("/__init__").replace("/", ".")


@functools.cache
def imports() -> dict[str, set[str]]:
    """What each module of the product imports of the product, for type checkers only or not."""
    names = {name_of(file) for file in product_files()}
    return {name_of(file): set(_imported(tree_of(file), names)) for file in product_files()}


def _imported(tree: ast.Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                target = full if full in names else node.module
                if target in names:
                    yield target
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)


def arrows_between(package: str) -> dict[str, set[str]]:
    """Which children of a package import which of their siblings, grandchildren counted in."""
    depth = package.count(".") + 1
    arrows: dict[str, set[str]] = {}
    for module, targets in imports().items():
        if not module.startswith(package + "."):
            continue
        source = module.split(".")[depth]
        arrows.setdefault(source, set())
        for target in targets:
            if target.startswith(package + ".") and target.split(".")[depth] != source:
                arrows[source].add(target.split(".")[depth])
    return arrows


def levels_of(arrows: dict[str, set[str]]) -> dict[str, int]:
    """The length of the longest way down from each; raises ``ValueError`` on a circle."""
    levels: dict[str, int] = {}

    def level(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise ValueError(" -> ".join((*above[above.index(name) :], name)))
        if name not in levels:
            levels[name] = 1 + max(
                (level(n, (*above, name)) for n in sorted(arrows.get(name, ()))), default=0
            )
        return levels[name]

    for name in sorted(arrows):
        level(name, ())
    return levels


def packages() -> list[str]:
    parents = {name.rpartition(".")[0] for name in imports()}
    return sorted(p for p in parents if p.startswith("gandiff."))


@pytest.mark.parametrize("package", packages())
def test_siblings_have_no_circles(package: str) -> None:
    levels_of(arrows_between(package))


def test_rooms_import_downward_only() -> None:
    order = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
    arrows = arrows_between("gandiff.experiments")
    assert set(arrows) <= set(order), "a new room: say on which level it lies"
    upward = [
        f"{room} -> {other}"
        for room, others in arrows.items()
        for other in others
        if order[other] <= order[room]
    ]
    assert upward == []


def test_rooms_lie_on_few_levels() -> None:
    # Benchmarks stand outside: they use everything, nothing uses them, and no wheel has them.
    arrows = arrows_between("gandiff.experiments")
    arrows.pop("benchmarks", None)
    assert max(levels_of(arrows).values()) <= LEVELS


def test_every_verb_is_the_name_of_what_does_it() -> None:
    names = {part for file in product_files() for part in (file.stem, file.parent.name)}
    assert [verb for verb in VERBS if verb not in names] == []


@pytest.mark.parametrize("file", product_files(), ids=lambda f: f.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_small(file: Path) -> None:
    assert file.read_text(encoding="utf-8").count("\n") <= LINES
    large = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree_of(file))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert large == []


@pytest.mark.parametrize("pattern", DIALECT)
def test_plain_english(pattern: str) -> None:
    spoken = [
        f"{file.relative_to(ROOT)}:{number}: write {DIALECT[pattern]}: {line.strip()}"
        for file in texts()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert spoken == []
