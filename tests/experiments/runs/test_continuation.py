"""Run folders that are continued, and those that are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_helpers import TOY, calls, images, log_lines, make, record, write_comparison

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison
from gandiff.experiments.runs.generate import generate_images
from gandiff.experiments.runs.open import load_run, open_run
from gandiff.experiments.runs.replay import replay
from gandiff.experiments.runs.run import Run
from gandiff.experiments.runs.store import RunStore


def test_more_prompts_keep_the_batches_there_are(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, prompts=7)
    folder = make(file, limit=3)
    first = {e["key"]: e for e in log_lines(folder)}
    assert record(folder)["suite"]["prompts"] == 3
    make(file)
    after = {e["key"]: e for e in log_lines(folder)}
    assert first.items() <= after.items()
    assert len(after) == 2 * 7 * 2
    assert calls(tmp_path / "toy.log")[2:] == [
        "00004_0 00004_1 00005_0 00005_1",
        "00006_0 00006_1 00007_0 00007_1",
    ]
    assert record(folder)["plan"]["generators"]["toy"]["segments"] == [3, 7]
    make(file)
    assert len(calls(tmp_path / "toy.log")) == 4
    straight = make(file, out="straight")
    assert images(straight) == images(folder)


def test_added_generators_and_metrics_continue_a_run(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    text = file.read_text().replace(
        "metrics: []", f"  third: {{type: {TOY!r}, shade: 5}}\nmetrics: [vendi(encoder=scenes)]"
    )
    file.write_text(text)
    make(file, "report.gallery_prompts=3", "timing.repeats=2")
    assert len(images(folder)) == 30
    assert len(calls(tmp_path / "toy.log")) == 3
    assert record(folder)["comparison"]["metrics"] == ["vendi(encoder=scenes)"]


def test_the_headline_is_chosen_once(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, 2)
    folder = make(file)
    assert record(folder)["headline"] == ["toy", "other"]
    # As an older version chose it.
    (folder / "run.json").write_text(
        json.dumps({**record(folder), "headline": ["other", "toy"]}), encoding="utf-8"
    )
    make(file)
    assert record(folder)["headline"] == ["other", "toy"]
    make(file, "headline=[toy, other]")
    assert record(folder)["headline"] == ["toy", "other"]
    make(file)  # the file does not ask for that pair any more
    assert record(folder)["headline"] == ["toy", "other"]


@pytest.mark.parametrize(
    ("overrides", "limit", "says"),
    [
        (["seed=1"], None, "seed is 0 there and 1 here"),
        (["samples_per_prompt=1"], None, "samples_per_prompt is 2 there and 1 here"),
        (["batch_size=5"], None, "batch_size is 4 there and 5 here"),
        (["dtype=float16"], None, "dtype is 'float32' there and 'float16' here;"),
        (["device=cuda"], None, "device is 'cpu' there and 'cuda' here;"),
        (["suite=new.txt"], None, "is 'a toy 0' there, and '00001', 'a new toy', here"),
        ([], 4, "it has 5 prompts and 4 are asked for here"),
    ],
)
def test_the_folder_of_another_comparison_is_refused(
    tmp_path: Path, overrides: list[str], limit: int | None, says: str
) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    (tmp_path / "new.txt").write_text("a new toy\nb\nc\nd\ne\n")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(RequestError) as refused:
        make(file, *overrides, limit=limit)
    assert f"{folder} holds another comparison: " in str(refused.value)
    assert says in str(refused.value)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_generator_that_is_gone_is_another_comparison(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    make(file)
    text = file.read_text()
    file.write_text(text[: text.index("  other:")] + text[text.index("metrics:") :])
    with pytest.raises(RequestError, match=r"generators\.other is there and not here"):
        make(file)


def weighted(tmp_path: Path) -> tuple[Path, Path]:
    """A comparison whose generator has weights, and their folder."""
    weights = tmp_path / "mine"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    (tmp_path / "weighted.py").write_text(
        "from toy_generators import paint\ndef make(*, weights: str):\n    return paint\n"
    )
    toy = {"toy": {"type": "weighted.py:make", "weights": "mine"}}
    return write_comparison(tmp_path, generators=toy), weights


def test_retrained_weights_are_another_generator(tmp_path: Path) -> None:
    file, weights = weighted(tmp_path)
    folder = make(file)
    (weights / "README.md").write_text("a card says nothing about pixels")
    make(file)
    shutil.copytree(weights, tmp_path / "moved")
    make(file, "generators.toy.weights=moved")
    assert record(folder)["warnings"] == []
    first = images(folder)
    (weights / "model.safetensors").write_bytes(b"two")
    make(file)
    assert record(folder)["warnings"] == [
        "toy: its weights have changed; its images of before are kept as toy@1"
    ]
    assert len(images(folder)) == 20
    assert {p.replace("toy@1", "toy"): h for p, h in images(folder).items() if "@" in p} == first
    shutil.rmtree(weights)
    make(file)  # all images are there, so nothing needs the weights
    assert len(images(folder)) == 20


def test_a_changed_setting_makes_another_generator_and_keeps_the_old_one(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    before, other = log_lines(folder), calls(tmp_path / "other.log")
    make(file, "generators.toy.shade=9")
    assert record(folder)["warnings"] == [
        "toy: shade was 0 and is 9; its images of before are kept as toy@1"
    ]
    straight = make(file, "generators.toy.shade=9", out="straight")
    there = images(folder)
    assert images(straight).items() <= there.items()
    kept = {line["key"]: line for line in log_lines(folder) if line["generator"] == "toy@1"}
    assert kept == {
        line["key"]: {**line, "generator": "toy@1", "path": line["path"].replace("toy", "toy@1", 1)}
        for line in before
        if line["generator"] == "toy"
    }
    assert all((folder / line["path"]).is_file() for line in kept.values())
    # The other generator was not asked again, and neither are any from now on.
    made = len(calls(tmp_path / "toy.log"))
    assert calls(tmp_path / "other.log")[: len(other)] == other
    make(file, "generators.toy.shade=9")
    assert (len(calls(tmp_path / "toy.log")), images(folder)) == (made, there)
    assert list(record(folder)["generators"]) == ["toy", "other", "toy@1"]
    assert record(folder)["generators"]["toy"]["settings"]["shade"] == 9
    assert record(folder)["generators"]["toy@1"]["settings"]["shade"] == 0
    with pytest.raises(RequestError, match="nothing of it can be made again"):
        replay(folder, next(iter(kept)))


def test_a_setting_that_is_put_back_finds_its_images_again(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    first = images(folder)
    make(file, "generators.toy.shade=9")
    made = len(calls(tmp_path / "toy.log"))
    make(file)
    assert record(folder)["warnings"] == [
        "toy: shade was 9 and is 0; its images of before are kept as toy@2, and those of toy@1, "
        "which are of the same, are used again"
    ]
    assert len(calls(tmp_path / "toy.log")) == made
    assert first.items() <= images(folder).items()
    assert list(record(folder)["generators"]) == ["toy", "other", "toy@2"]
    assert not (folder / "images" / "toy@1").exists()


def test_what_was_made_before_a_change_is_dropped_when_that_is_asked_for(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    folder = make(file)
    make(file, "generators.toy.shade=9")
    make(file, "generators.toy.shade=8", drop_changed=True)
    assert record(folder)["warnings"] == [
        "toy: shade was 9 and is 8; its images of before were dropped and are made again"
    ]
    straight = make(file, "generators.toy.shade=8", out="straight")
    assert images(folder) == images(straight)
    assert len(log_lines(folder)) == len(log_lines(straight))


@pytest.mark.parametrize("moment", range(4))
def test_killed_while_images_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """After each of the steps: a folder moved, both moved, the log written, before run.json."""
    file = write_comparison(tmp_path)
    folder = make(file)
    first = images(folder)
    make(file, "generators.toy.shade=9")
    made = len(calls(tmp_path / "toy.log"))
    steps = iter(range(10))

    class KilledError(Exception):
        pass

    def dying(real):  # type: ignore[no-untyped-def]
        def step(*arguments, **options):  # type: ignore[no-untyped-def]
            if next(steps) == moment:
                raise KilledError
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying(Path.rename))
        patched.setattr(RunStore, "align", dying(RunStore.align))
        patched.setattr(Run, "update", dying(Run.update))
        with pytest.raises(KilledError):
            make(file)
    make(file)
    assert first.items() <= images(folder).items()
    assert len(calls(tmp_path / "toy.log")) == made
    assert len(log_lines(folder)) == 30
    assert all((folder / line["path"]).is_file() for line in log_lines(folder))


def test_more_samples_keep_the_images_there_are(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, 3)
    folder = make(file)
    first = {line["key"]: line for line in log_lines(folder)}
    make(file, "samples_per_prompt=5")
    after = {line["key"]: line for line in log_lines(folder)}
    assert first.items() <= after.items()
    assert len(after) == 2 * 3 * 5
    plan = record(folder)["plan"]["generators"]["toy"]
    assert (plan["segments"], plan["samples"]) == ([3, 3], [2, 5])
    assert images(make(file, "samples_per_prompt=5", out="straight")) == images(folder)
    made = len(calls(tmp_path / "toy.log"))
    make(file, "samples_per_prompt=5")
    assert len(calls(tmp_path / "toy.log")) == made
    assert not load_run(folder).missing("toy")


def test_a_run_grows_in_every_direction_at_once(tmp_path: Path) -> None:
    file = write_comparison(tmp_path, 6)
    folder = make(file, limit=3)
    make(file, "samples_per_prompt=3", "generators.toy.shade=9", limit=4)
    third = f"  third: {{type: {TOY!r}, shade: 5}}\nmetrics: []"
    file.write_text(file.read_text().replace("metrics: []", third))
    changes = "samples_per_prompt=4", "generators.toy.shade=9"
    make(file, *changes)
    there = images(folder)
    straight = make(file, *changes, out="straight")
    assert {p: h for p, h in there.items() if "@" not in p} == images(straight)
    assert sum("@" in path for path in there) == 6


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    with pytest.raises(
        RequestError, match=r"holds 'other.log'|holds 'prompts.txt'|holds 'toys.yaml'"
    ):
        make(file, out=".")
    with pytest.raises(RequestError, match=r"is a file; give a folder"):
        make(file, out="toys.yaml")


def test_two_writers_are_kept_apart(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    comparison = load_comparison(file)
    with (
        open_run(comparison, tmp_path / "run"),
        pytest.raises(RequestError, match="is being written by another process"),
        open_run(comparison, tmp_path / "run"),
    ):
        pass


def test_a_run_folder_is_read_back(tmp_path: Path) -> None:
    file = write_comparison(tmp_path)
    comparison = load_comparison(file)
    with open_run(comparison, tmp_path / "run") as run:
        generate_images(run, quiet=True)
        planned = run
    shutil.rmtree(file.parent / "run" / "images" / "other")
    file.unlink()
    (tmp_path / "prompts.txt").unlink()
    again: Run = load_run(tmp_path / "run")
    assert again.batches == planned.batches
    assert again.suite.sha256 == planned.suite.sha256
    assert [e.key for e in again.entries("toy")] == [
        j.key for b in again.batches["toy"] for j in b.jobs
    ]
    assert len(again.missing("other")) == 3
    with pytest.raises(RequestError, match=r"no run\.json in"):
        load_run(tmp_path)
