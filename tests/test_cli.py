"""The command line as people meet it: help with examples, one-line errors, exit codes."""

from __future__ import annotations

import dataclasses
import errno
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gandiff.common.errors import (
    EnvironmentFailure,
    GeneratorError,
    MetricError,
    RequestError,
    environment_failure,
)
from gandiff.experiments import api
from gandiff.experiments.cli import app, main

ROOT = Path(__file__).parents[1]
SCENES = str(ROOT / "experiments" / "comparisons" / "scenes.yaml")
pytestmark = pytest.mark.usefixtures("empty_folder")


def commands() -> dict[str, Any]:
    """Every command of the program by its words, such as ``train gan``."""

    def walk(group: Any, words: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{words}{name} ")
            else:
                yield f"{words}{name}", command

    return dict(walk(typer.main.get_command(app), ""))


def printed_examples(help_text: str) -> list[str]:
    _, found, block = help_text.partition("Examples:\n")
    assert found, help_text
    return [line.strip() for line in block.splitlines() if line.strip()]


def test_there_are_the_documented_commands() -> None:
    looking = {"validate", "list", "suites", "doctor"}
    running = {
        "draw",
        "studio",
        "run",
        "runs",
        "generate",
        "time",
        "score",
        "stats",
        "report",
        "replay",
    }
    comparing = {"compare", "power", "init", "compare-models"}
    training = {f"train {kind}" for kind in ("gan", "diffusion", "control", "judges", "text")}
    exploring = {
        f"explore {what}" for what in ("truncation", "interpolate", "mix", "units", "paint")
    }
    assert set(commands()) == looking | running | comparing | training | exploring


@pytest.mark.parametrize("words", ["", *commands()])
def test_help_has_examples_that_can_be_typed(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    lines = [line for line in printed_examples(shown) if line.startswith("gandiff ")]
    assert any(line.startswith(f"gandiff {words}".strip()) for line in lines)
    known = commands()
    for line in lines:
        if line.endswith(" --help"):
            continue
        typed, _, _ = line.partition(" > ")  # the shell's
        arguments = shlex.split(typed)[1:]
        name = " ".join(arguments[:2]) if arguments[0] in ("train", "explore") else arguments[0]
        # Raises if an option is unknown, an argument is missing or a value does not fit.
        known[name].make_context(name, arguments[len(name.split()) :])


@pytest.mark.parametrize("words", commands())
def test_every_command_can_be_quiet_and_print_json(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--quiet" in shown
    assert "--json" in shown


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"gandiff \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rn", "did you mean 'run'"),
        ("run", "missing argument 'RUN_OR_FILE'"),
        ("run x.yaml --limit 0", "--limit"),
        ("run x.yaml --limt 3", "--limit"),
        ("run x.yaml --stop-after report", "--stop-after"),
        ("run x.yaml", "x.yaml"),
        ("run x.yaml --allow-pickle", "x.yaml"),
        ("validate x.yaml", "x.yaml"),
        ("generate x", "x"),
        ("report x", "x"),
        ("replay x KEY", "x"),
        ("list genrators", "did you mean 'generators'"),
        ("suites scense", "did you mean 'scenes'"),
        ("score x --metrics fid", "no such folder or file: x"),
        ("score . --reference .", "the folder . holds no image files"),
        ("score . --metrics fdi --reference .", "fdi"),
        ("score . --metrics fid --reference . --weights inception", "ENCODER=FILE"),
        ("score . --metrics fid --reference . --weights a=1 --weights a=2", "twice"),
        ("compare x", "missing argument 'RUN_B'"),
        ("compare x y", "no run.json in x"),
        ("compare x y", "compared by: gandiff compare-models x y"),
        ("compare x y --generators gan", "write A=B"),
        ("compare x y --generators a=b,a=c", "twice"),
        ("compare x y --metrics ,", "--metrics is empty"),
        ("compare x y --fail-if fid>1", "with its sign"),
        ("power x --difference 0.1", "--metric"),
        ("power x --metric clip_score", "--difference"),
        ("power x --metric clip_score --difference 0", "a number other than 0"),
        ("power x --metric clip_score --difference 1 --power 1", "from 0.5 up to, but not, 1"),
        ("power x --metric clip_score --difference 1", "no run.json in x"),
        ("train", "missing command"),
        ("train gna", "did you mean 'gan'"),
        ("train gan --minutes -1", "--minutes"),
        ("train gan --dtype float8", "float32"),
        ("train gan --data nowhere --minutes 0.01 --out out", "nowhere"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    line: str, said: str, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    assert main(shlex.split(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert said.casefold() in shown.err.casefold()
    assert list(empty_folder.iterdir()) == []


def test_a_setting_that_does_not_exist_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["validate", SCENES, "--set", "smaples_per_prompt=2"]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "samples_per_prompt" in shown.err


def test_a_run_folder_takes_no_metrics(
    capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    (empty_folder / "run.json").write_text("{}")
    assert main(["score", ".", "--metrics", "fid", "--reference", "."]) == 2
    assert "plain folder" in capsys.readouterr().err


def failing(error: BaseException) -> Any:
    def run(*_: object, **__: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("a b"), 2),
        (GeneratorError("a b"), 2),
        (MetricError("a\n b"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "a b"), 2),
        (EnvironmentFailure("a b"), 1),
        (OSError(errno.ENOSPC, "No space left", "a b"), 1),
        (OSError(errno.EROFS, "Read-only", "a b"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "a b"), 1),
        (MemoryError("a b"), 1),
        (RuntimeError("a b"), 1),
    ],
)
def test_what_an_error_becomes(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(api, "run", failing(error))
    assert main(["run", SCENES]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "a b" in shown.err
    assert shown.err.count("\n") == 1
    assert "Traceback" not in shown.err


def test_debugging_keeps_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", failing(RuntimeError("where")))
    monkeypatch.setenv("GANDIFF_DEBUG", "1")
    with pytest.raises(RuntimeError, match="where"):
        main(["run", SCENES])


def test_an_interruption_tells_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api, "run", failing(KeyboardInterrupt()))
    assert main(["run", "my file.yaml", "--limit", "2"]) == 130
    shown = capsys.readouterr()
    assert shown.err == "interrupted; continue with: gandiff run 'my file.yaml' --limit 2\n"


def training(error: BaseException, *, saves: bool) -> Any:
    """A training that ends with this error, before or after its first checkpoint."""

    def train(request: Any, *_: object) -> None:
        if saves:
            request.out.mkdir(parents=True, exist_ok=True)
            (request.out / "checkpoint.pt").touch()
        raise error

    return train


@pytest.mark.parametrize("saves", [True, False])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left"), 1),
        (MemoryError("12 GiB"), 1),
        (environment_failure(MemoryError("of another process")), 1),
    ],
)
def test_a_training_that_ends_early_tells_how_to_go_on(
    error: BaseException,
    code: int,
    saves: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "gandiff.experiments.training.gan.train.train", training(error, saves=saves)
    )
    assert main(["train", "gan", "--seed", "3"]) == code
    # Without a checkpoint --resume would be refused.
    resume = " --resume" if saves else ""
    said = capsys.readouterr().err
    assert said.endswith(f"continue with: gandiff train gan --seed 3{resume}\n")
    assert "same command again" not in said


@pytest.mark.parametrize("begun", [True, False])
def test_a_sweep_goes_on_once_a_trial_has_begun(
    begun: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sweep(request: Any, *_: object, **__: object) -> None:
        trial = dataclasses.replace(request, out=request.out / "gamma=2")
        training(KeyboardInterrupt(), saves=begun)(trial)

    monkeypatch.setattr("gandiff.experiments.training.sweep.sweep_recipes", sweep)
    assert main(["train", "gan", "--sweep", "gamma=1,2"]) == 130
    resume = " --resume" if begun else ""
    said = capsys.readouterr().err
    assert said == f"interrupted; continue with: gandiff train gan --sweep gamma=1,2{resume}\n"


def test_a_run_that_fails_goes_on_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api, "run", failing(OSError(errno.ENOSPC, "No space left")))
    assert main(["run", SCENES, "--limit", "2"]) == 1
    assert capsys.readouterr().err == (
        "error: the disk is full. The work so far is kept; "
        f"continue with: gandiff run {SCENES} --limit 2\n"
    )
