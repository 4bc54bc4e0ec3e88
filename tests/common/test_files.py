"""Paths as a shell reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gandiff.common.files import expanded
from gandiff.experiments.cli import main


def test_a_tilde_is_a_home_or_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~") == tmp_path
    assert expanded("~/a/b.png") == tmp_path / "a/b.png"
    assert expanded(Path("a/~b.png")) == Path("a/~b.png")
    assert expanded("~nobody-of-this-name/a.png") == Path("~nobody-of-this-name/a.png")


@pytest.mark.parametrize(
    "line",
    [
        ["score", "~nobody-of-this-name"],
        ["draw", "a star", "--init", "~draft.png", "--model", "gan-scenes"],
        ["draw", "a star", "--model", "~nobody-of-this-name"],
        ["train", "gan", "--data", "~nobody-of-this-name", "--out", "out"],
        ["run", "~nobody-of-this-name.yaml"],
        ["init", "--folder", "~nobody-of-this-name"],
    ],
    ids=" ".join,
)
def test_a_name_that_begins_with_a_tilde_is_refused_in_a_line(
    line: list[str], empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "a mistake in gandiff" not in said
    assert "~" in said
