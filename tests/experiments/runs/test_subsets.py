"""A limited run is a part of the whole one: drawn from every category, and grown in place."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import toys
from run_helpers import calls, images, log_lines, make, write_comparison

from gandiff.common.run_record import PROMPTS
from gandiff.evaluate.features.images import folder_images
from gandiff.experiments.runs.open import load_run
from gandiff.experiments.scoring.references import folder_reference

SIZES = {"colour": 16, "count": 8, "text": 8}


def categorised(folder: Path, **changes: object) -> Path:
    """A comparison on prompts that are sorted by category, as published suites are."""
    file = write_comparison(folder, suite="sorted.csv", **changes)
    rows = [f"a {name} {i},{name}" for name, size in SIZES.items() for i in range(size)]
    (folder / "sorted.csv").write_text("prompt,category\n" + "\n".join(rows))
    return file


def categories(folder: Path) -> list[str]:
    rows = (folder / PROMPTS).read_text(encoding="utf-8").splitlines()
    return [json.loads(row)["category"] for row in rows]


def test_a_limited_run_has_some_of_every_category_and_grows(tmp_path: Path) -> None:
    file = categorised(tmp_path)
    folder = make(file, limit=8)
    assert Counter(categories(folder)) == {"colour": 4, "count": 2, "text": 2}
    few, lines = images(folder), log_lines(folder)
    (tmp_path / "toy.log").unlink()
    make(file, limit=16)
    assert Counter(categories(folder)) == {"colour": 8, "count": 4, "text": 4}
    assert few.items() <= images(folder).items()
    assert log_lines(folder)[: len(lines)] == lines
    assert sum(len(call.split()) for call in calls(tmp_path / "toy.log")) == 16
    # The larger part is the same whether it was made at once or in two steps.
    whole = make(file, limit=16, out="at-once")
    assert images(whole) == images(folder)
    make(file)
    assert len(images(folder)) == 2 * 2 * sum(SIZES.values())
    assert categories(folder)[16:] == sorted(categories(folder)[16:])
    assert images(make(file, out="full")) == images(folder)


def test_a_run_limited_to_the_first_prompts_is_continued(tmp_path: Path) -> None:
    """As versions made it that took the first prompts whatever their categories."""
    file = categorised(tmp_path)
    first = make(file, "suite.prompts=8")  # the first eight: one category
    before = images(first)
    assert set(categories(first)) == {"colour"}
    assert make(file, limit=8) == first
    assert images(first) == before
    make(file, limit=12)
    assert before.items() <= images(first).items()
    assert len(categories(first)) == 12
    assert {"count", "text"} <= set(categories(first))


def test_a_limit_above_what_there_is_is_said(tmp_path: Path) -> None:
    folder = make(categorised(tmp_path), limit=100)
    said = "the suite has 32 prompts, fewer than the limit of 100; all are used"
    assert said in load_run(folder).record.warnings


def test_references_are_drawn_from_every_class(tmp_path: Path) -> None:
    classes = {"ant": 6, "bee": 12, "cat": 6}
    for number, (name, size) in enumerate(classes.items()):
        for i in range(size):
            path = tmp_path / "real" / "train" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            toys.toy_image(100 * number + i).save(path)
    file = write_comparison(tmp_path)
    drawn = []
    for count in (4, 8, 24, 30):
        setting = f'reference={{"folder": "real", "images": {count}}}'
        run = load_run(make(file, setting, out=f"run-{count}"))
        records = folder_reference(run)
        assert records is not None
        drawn.append({record.group for record in records})
        said = [w for w in run.record.warnings if "fewer than the 30 asked for" in w]
        assert len(said) == (count == 30)
    assert drawn[0] < drawn[1] < drawn[2] == drawn[3]
    of_each = Counter(name.split("/")[1] for name in drawn[1])
    assert of_each == {"ant": 2, "bee": 4, "cat": 2}


@pytest.mark.parametrize(
    "names", [["a.png", "b.png"], ["x/a.png", "x/b.png"], ["x/a.png", "b.png"]]
)
def test_few_files_in_any_folders_can_be_drawn(tmp_path: Path, names: list[str]) -> None:
    toys.save_toy_images(tmp_path, names)
    records, _ = folder_images(tmp_path, 1)
    assert len(records) == 1
