"""Tables are what the code gives, links lead somewhere, and the site builds without a network."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pages
import pytest

import gandiff
from gandiff.common.measurements import MEASUREMENTS

OUTPUT = {
    "sources/",
    "uncomposited/",
    "models/",
    "site/",
    "gan/",
}  # a name in a sentence, not a place below the root
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)")


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(pages.ROOT / "docs")
    return importlib.import_module("generate")


def test_tables_are_what_the_code_gives(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code = generate.main(["--check"])
    said = capsys.readouterr()
    assert code == 0, f"run: python docs/generate.py\n{said.out}{said.err}"


def test_every_public_name_is_documented() -> None:
    page = (pages.ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names = set(gandiff.__all__) - {"__version__"}
    assert sorted(names - set(re.findall(r"^::: gandiff\.(\w+)$", page, re.MULTILINE))) == []


def test_every_alarm_is_explained() -> None:
    page = (pages.ROOT / "docs" / "training-health.md").read_text(encoding="utf-8")
    explained = page.partition("## Alarms")[2].partition("##")[0]
    named = {name for one in MEASUREMENTS.values() for name in one.alarms}
    assert len(named) == 8
    assert [name for name in sorted(named) if f"| {name} |" not in explained] == []


def test_a_table_of_another_page_is_refused(generate: ModuleType) -> None:
    page = "<!-- generated: nothing -->\n<!-- end -->\n"
    with pytest.raises(KeyError, match="nothing"):
        generate.filled(page, {"recipe": "| a |\n"})
    assert "| a |" in generate.filled(page.replace("nothing", "recipe"), {"recipe": "| a |\n"})


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_from_the_root_lead_to_files(page: str) -> None:
    links = LINK.findall((pages.ROOT / page).read_text(encoding="utf-8"))
    missing = [to for to in links if "://" not in to and not (pages.ROOT / to).is_file()]
    assert missing == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_map_names_files_that_exist(page: str) -> None:
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text)) - OUTPUT
    assert len(names) > 5
    assert [name for name in sorted(names) if not (pages.ROOT / name).exists()] == []


def test_the_readme_is_short() -> None:
    assert pages.words_of_prose("README.md") <= 950


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", tmp_path / "site"],
        cwd=pages.ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) >= len(pages.PAGES) - 1
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]* src="?https?:|<link[^>]*stylesheet[^>]*https?:'
    )
    for path in built:
        assert not loaded.search(path.read_text(encoding="utf-8")), path
    # mkdocstrings has found the public names.
    assert "gandiff.Generator" in (tmp_path / "site/reference/python.html").read_text("utf-8")
