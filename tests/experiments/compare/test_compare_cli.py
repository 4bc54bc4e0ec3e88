"""``gandiff compare`` and ``gandiff power`` on small real runs, as people and CI type them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scene_toys import expected, noise, score, truth

from gandiff.evaluate.numerics.power import detectable_difference, prompts_needed
from gandiff.experiments.cli import main

METRICS = ["scene_accuracy", "clip_score(model=scenes)", "fd(encoder=scenes)"]
CLIP = METRICS[1]


def mixed(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    """Draw the truth for one prompt of three, noise for the others."""
    right, wrong = truth(prompts, seeds), noise(prompts, seeds)
    places = {text: place for place, text in enumerate(expected())}
    return [b if places[p] % 3 else a for p, a, b in zip(prompts, right, wrong, strict=True)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two scored runs; what was the truth in the first is mixed in the second."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model in (("before", truth), ("after", mixed)):
        score(
            folder / name,
            {"model": model, "noise": noise},
            METRICS,
            {"name": "scenes", "prompts": 12},
            reference={"type": "scenes", "images": 40},
        )
    return folder


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def say(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Type a command line where the runs are."""
    monkeypatch.chdir(runs)
    monkeypatch.delenv("GANDIFF_DEBUG", raising=False)

    def typed(*arguments: str) -> Said:
        code = main([*arguments])
        return Said(code, *capsys.readouterr())

    return typed


def test_the_table_has_a_line_for_each_generator_and_metric(
    runs: Path, say: Callable[..., Said]
) -> None:
    said = say("compare", "before", "after", "--all")
    assert said.code == 0
    assert said.err == ""
    _, _, title, heading, *rest = said.out.splitlines()
    assert title == "All prompts:"
    lines = rest[: rest.index("")]
    assert " ".join(heading.split()) == "generator metric A B B - A 95% interval better B is how"
    tables = [pd.read_parquet(runs / name / "results.parquet") for name in ("before", "after")]
    assert len(lines) == len(tables[0]) == len(tables[1])
    (accuracy,) = (line for line in lines if line.startswith("model      scene_accuracy/all"))
    assert " undecided " in accuracy  # though the interval leaves out 0
    few = "; 12 prompts are too few to call one better: it takes 30"
    assert accuracy.endswith(f"paired, 12 prompts{few}")
    (fd,) = (line for line in lines if line.startswith("model      fd(encoder=scenes)"))
    assert fd.endswith(f"two intervals{few}")
    # The same seeds gave the same noise in both runs.
    same = [line for line in lines if line.startswith("noise      clip_score")]
    assert [line.split()[4:8] for line in same] == [["0", "0", "to", "0"]]


def test_json_holds_what_the_tables_of_the_runs_say(runs: Path, say: Callable[..., Said]) -> None:
    said = say("compare", "before", "after", "--metrics", "clip_score", "--json")
    found = json.loads(said.out)
    assert (found["run_a"], found["run_b"], found["warnings"]) == ("before", "after", [])
    assert [c["generator_a"] for c in found["changes"]] == ["model", "noise"]
    change = found["changes"][0]
    scores = [pd.read_parquet(runs / name / "scores.parquet") for name in ("before", "after")]
    means = [
        s[(s.generator == "model") & (s.metric == CLIP)].groupby("prompt_id").value.mean()
        for s in scores
    ]
    assert change["difference"] == pytest.approx((means[1] - means[0]).mean())
    assert change["low"] < change["difference"] < change["high"] < 0


def test_a_condition_that_holds_fails_the_command(say: Callable[..., Said]) -> None:
    condition = "scene_accuracy<-0.05 or fd(encoder=scenes)>+1e9"
    said = say("compare", "before", "after", "--fail-if", condition, "--quiet")
    assert said.code == 1
    (line,) = said.out.splitlines()
    assert line.startswith(
        "failed: scene_accuracy<-0.05: scene_accuracy/all of model changed by -0."
    )
    assert "(95% interval -0." in line
    assert said.err == ""
    found = json.loads(say("compare", "before", "after", "--fail-if", condition, "--json").out)
    outcomes = [(c["change"]["generator_a"], c["outcome"]) for c in found["conditions"]]
    assert outcomes == [
        ("model", "holds"),
        *[(n, "does not hold") for n in ("noise", "model", "noise")],
    ]


def test_a_condition_that_is_not_shown_warns_and_passes(say: Callable[..., Said]) -> None:
    found = json.loads(say("compare", "before", "after", "--metrics", CLIP, "--json").out)
    change = found["changes"][0]
    between = (change["difference"] + change["high"]) / 2
    said = say("compare", "before", "after", "--fail-if", f"clip_score<{between:+.6f}", "-q")
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith(f"warning: not shown: clip_score<{between:+g}: {CLIP} of model")
    assert said.err.count("\n") == 1


def test_other_protocols_are_refused_in_one_line(runs: Path, say: Callable[..., Said]) -> None:
    score(
        runs / "other",
        {"model": truth, "noise": noise},
        METRICS,
        {"name": "scenes", "prompts": 12},
        reference={"type": "scenes", "images": 50},
    )
    asked = ",".join(METRICS)
    said = say("compare", "before", "other", "--metrics", asked)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: fd(encoder=scenes) was measured with reference_sha256 ")
    assert said.err.count("\n") == 1
    rest = say("compare", "before", "other", "--all")
    assert rest.code == 0
    assert rest.err.startswith("warning: left out: fd(encoder=scenes) was measured with reference_")
    assert "clip_score" in rest.out
    assert "fd(" not in rest.out
    chosen = said.err.split('--metrics "')[1].split('"')[0]
    assert say("compare", "before", "other", "--metrics", chosen).code == 0
    shutil.rmtree(runs / "other")


def test_how_many_prompts_it_takes(runs: Path, say: Callable[..., Said]) -> None:
    line = ("power", "after", "--metric", "clip_score", "--difference", "0.02")
    said = say(*line)
    assert (said.code, said.err) == (0, "")
    heading, row = said.out.splitlines()
    assert " ".join(heading.split()) == "a b metric a - b sd prompts detectable prompts needed"
    (found,) = json.loads(say(*line, "--json").out)
    scores = pd.read_parquet(runs / "after" / "scores.parquet")
    means = scores[scores.metric == CLIP].groupby(["generator", "prompt_id"]).value.mean()
    spread = (means["model"] - means["noise"]).std()
    assert found["deviation"] == pytest.approx(spread)
    assert found["needed"] == prompts_needed(0.02, spread)
    assert found["detectable"] == pytest.approx(detectable_difference(spread, 12))
    assert row.split()[:3] == ["model", "noise", CLIP]
    assert row.split() == say(*line, "--quiet").out.split()
    assert row.split()[5:] == ["12", f"{found['detectable']:.5g}", str(found["needed"])]
    more = json.loads(say(*line, "--power", "0.95", "--json").out)[0]
    assert more["needed"] > found["needed"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--metric", "fd"), "fd(encoder=scenes) has no score of each image in after"),
        (("--metric", "fid"), "no metric here is named 'fid'; there is fd(encoder=scenes)"),
        (("--metric", "clip_score", "--generators", "model,nosie"), "did you mean 'noise'"),
        (("--metric", "clip_score", "--generators", "model"), "for model of those asked for"),
    ],
)
def test_power_refuses_what_it_cannot_say(
    more: tuple[str, ...], says: str, say: Callable[..., Said]
) -> None:
    said = say("power", "after", "--difference", "0.1", *more)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert said.err.count("\n") == 1
