"""What a run reads from outside of its folder decides whether its results are still valid."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from run_helpers import besides_domain, log_lines, make, record, write_comparison

from gandiff.common.contents import ContentLedger
from gandiff.common.files import PACKAGE
from gandiff.experiments import api
from gandiff.experiments.scenes.suite import scene_suite

COUNT = 6
QUICK: dict[str, Any] = {
    "timing": {"warmup": 0, "repeats": 1, "batch_sizes": [1]},
    "report": {"gallery_prompts": 1, "trace_prompts": 0},
}


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8))


def pictures(folder: Path, seed: int, names: list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names or [f"{n + 1:05d}_0.png" for n in range(COUNT)]):
        picture(seed + i).save(folder / name)


def comparison(tmp_path: Path, **changes: Any) -> Path:
    pictures(tmp_path / "mj", 0)
    pictures(tmp_path / "real", 100)
    chosen = {
        "generators": {"mj": {"type": "folder", "folder": "mj"}},
        "reference": {"folder": "real"},
        "metrics": ["fd(encoder=scenes)"],
        "samples_per_prompt": 1,
        **QUICK,
        **changes,
    }
    return write_comparison(tmp_path, COUNT, **chosen)


def values(folder: Path) -> dict[tuple[str, str], float]:
    table = pd.read_parquet(folder / "results.parquet")
    table = table[~table.metric.str.endswith(("_seconds", "_bytes", "_second"))]
    return {(row.generator, row.metric): row.value for row in table.itertuples()}


def run(file: Path, out: str = "run") -> api.RunSummary:
    summary = api.run(file, out=file.parent / out, until="score", quiet=True)
    return dataclasses.replace(summary, warnings=besides_domain(summary.warnings))


def fresh(file: Path, out: str = "fresh") -> Any:
    """The values of a run in a new folder; an encoder rounds by the images beside, at 1e-7."""
    return pytest.approx(values(run(file, out).folder), rel=1e-5, nan_ok=True)


def test_pictures_that_were_replaced_are_measured(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    first = run(file)
    assert first.warnings == []
    before = values(first.folder)
    pictures(tmp_path / "mj", 50)
    again = run(file)
    assert values(again.folder) == fresh(file)
    assert values(again.folder) != pytest.approx(before)
    assert again.warnings == [
        "mj: 6 pictures have changed since they were read (00001_0.png, 00002_0.png, "
        "00003_0.png, ...)"
    ]
    assert run(file).warnings == []


def test_scoring_alone_measures_what_the_run_has_and_says_what_has_changed(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    first = run(file)
    before = values(first.folder)
    picture(50).save(tmp_path / "mj" / "00002_0.png")
    (tmp_path / "mj" / "00004_0.png").unlink()
    more = "metrics=[fd(encoder=scenes), vendi(encoder=scenes)]"
    for _ in range(2):
        again = api.stage(first.folder, "score", quiet=True, overrides=[more])
        said = [line for line in again.warnings if "measured are the pictures in the run" in line]
        assert len(said) == 2
        assert "changed since" in said[0]
        assert "(00002_0.png)" in said[0]
        assert f"gandiff generate {first.folder}" in said[0]
        assert "gone" in said[1]
    after = values(again.folder)
    assert {key: after[key] for key in before} == before
    assert run(file).warnings != again.warnings
    assert values(again.folder) == fresh(file)
    shutil.rmtree(tmp_path / "mj")
    gone = api.stage(first.folder, "score", quiet=True)
    assert not any("measured are the pictures" in line for line in gone.warnings)


def test_a_reference_that_has_changed_is_measured_again(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    before = values(run(file).folder)
    picture(7).save(tmp_path / "real" / "00003_0.png")
    again = run(file)
    assert again.warnings == [
        "measured again: the reference images have changed since the last scores (00003_0.png)"
    ]
    changed = values(again.folder)
    assert changed == fresh(file)
    assert changed != pytest.approx(before)
    (tmp_path / "real" / "00003_0.png").unlink()
    gone = run(file)
    assert gone.warnings == [
        "measured again: the reference images have changed since the last scores"
    ]
    assert values(gone.folder) == fresh(file, "fresher")
    assert values(gone.folder) != pytest.approx(changed)


def test_categories_and_facts_of_prompts_are_part_of_the_scores(tmp_path: Path) -> None:
    rows = scene_suite("test", 4)
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"suite": "p.jsonl", "metrics": ["scene_accuracy", "diversity(encoder=scenes)"]}
    file = comparison(tmp_path, samples_per_prompt=2, **changes)
    for i, row in enumerate(rows):
        for sample in range(2):
            picture(2 * i + sample).save(tmp_path / "mj" / f"{row['id']}_{sample}.png")
    before = run(file)
    other = {**rows[0], "category": "new", "expected": rows[3]["expected"]}
    prompts.write_text("".join(json.dumps(row) + "\n" for row in [other, *rows[1:]]))
    again = run(file)
    said = (
        "measured again: the categories or facts of the prompts have changed since the last scores"
    )
    assert said in again.warnings
    assert "new" in set(again.scores().category)
    assert values(again.folder) == fresh(file)
    pictures_of = [
        sorted((tmp_path / out / "reference").rglob("*.png")) for out in ("run", "fresh")
    ]
    assert [p.read_bytes() for p in pictures_of[0]] == [p.read_bytes() for p in pictures_of[1]]
    assert before.folder == again.folder


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_judge_that_has_changed_judges_again(tmp_path: Path, name: str) -> None:
    shipped = PACKAGE / "evaluate" / "pretrained"
    shutil.copytree(shipped / "scene-classifier-a", tmp_path / "judge")
    rows = scene_suite("test", 4)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = f"scene_accuracy(judge={tmp_path / 'judge'})"
    file = comparison(tmp_path, suite="p.jsonl", metrics=[judge])
    for i, row in enumerate(rows):
        picture(i).save(tmp_path / "mj" / f"{row['id']}_0.png")
    run(file)
    (tmp_path / "judge" / name).unlink()
    other = "scene-classifier-b" if name.startswith("model") else "scene-classifier-a"
    shutil.copy(shipped / other / name, tmp_path / "judge" / name)
    if name == "config.json":
        text = (tmp_path / "judge" / name).read_text()
        (tmp_path / "judge" / name).write_text(text.replace('"red"', '"rouge"'))
    else:
        shutil.copy(shipped / other / "config.json", tmp_path / "judge" / "config.json")
    again = run(file)
    assert any("the weights of encoders or judges have changed" in w for w in again.warnings)
    assert values(again.folder) == fresh(file)


def test_nothing_is_done_again_where_times_alone_have_changed(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    first = run(file)
    log, scored = log_lines(first.folder), (first.folder / "results.parquet").stat().st_mtime_ns
    for folder in ("mj", "real"):
        for path in (tmp_path / folder).iterdir():
            moved = path.rename(tmp_path / "moved")
            shutil.copyfile(moved, path)  # another inode and time with the same bytes
    again = run(file)
    assert again.warnings == []
    assert log_lines(again.folder) == log
    assert (again.folder / "results.parquet").stat().st_mtime_ns == scored


def test_pictures_that_appear_and_go(tmp_path: Path) -> None:
    file = comparison(tmp_path)
    late = tmp_path / "mj" / "00002_0.png"
    late.rename(tmp_path / "late")
    first = run(file)
    assert record(first.folder)["counts"]["mj"]["failed"] == 1
    shutil.copy(tmp_path / "late", late)
    (tmp_path / "mj" / "00004_0.png").unlink()
    again = run(file)
    assert again.warnings[:2] == [
        "mj: 1 picture was missing and is there now (00002_0.png)",
        "mj: 1 picture was read and is gone",
    ]
    assert {e["prompt_id"] for e in log_lines(again.folder) if e["status"] == "failed"} == {"00004"}
    assert values(again.folder) == fresh(file)


def test_twenty_thousand_unchanged_files_are_checked_within_a_second(tmp_path: Path) -> None:
    for i in range(20_000):
        (tmp_path / f"{i}.png").write_bytes(b"%d" % i)
    files = [tmp_path / f"{i}.png" for i in range(20_000)]
    time.sleep(2.1)
    ledger = ContentLedger(tmp_path / "inputs.jsonl")
    hashes = [ledger.sha256(file) for file in files]
    ledger.save()
    seconds = []
    for _ in range(3):  # the time of this thread: other tests leave threads behind in the process
        began = time.thread_time()
        again = ContentLedger(tmp_path / "inputs.jsonl")
        assert [again.sha256(file) for file in files] == hashes
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 1.0
    assert not again.changed


NAMES = [f"{n + 1:05d}_0.png" for n in range(COUNT)]
EDITS = st.tuples(
    st.sampled_from(["change", "touch", "rename", "remove", "put back"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_after_any_edits_a_run_has_what_a_new_one_has(
    rounds: list[list[tuple[str, str, str]]],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = comparison(Path(place), metrics=[])
        make(file)
        for number, edits in enumerate(rounds):
            for kind, name, other in edits:
                path = file.parent / "mj" / name
                if kind == "change":
                    picture(1000 + number).save(path)
                elif kind == "put back":
                    picture(NAMES.index(name)).save(path)
                elif path.exists() and kind == "touch":
                    path.touch()
                elif path.exists() and kind == "rename":
                    path.rename(path.with_name(other))
                elif path.exists() and len(list(path.parent.iterdir())) > 1:
                    path.unlink()
            mended, straight = make(file), make(file, out=f"fresh-{number}")
            assert shown(mended) == shown(straight)


def shown(folder: Path) -> dict[str, tuple[str, str | None]]:
    """What became of every prompt of a run."""
    return {e["prompt_id"]: (e["status"], e["sha256"]) for e in log_lines(folder)}
