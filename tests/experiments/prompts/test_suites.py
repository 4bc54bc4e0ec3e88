from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.errors import RequestError
from gandiff.experiments.config.types import Comparison, GeneratorConfig, SuiteConfig
from gandiff.experiments.plugins import registry as plugins
from gandiff.experiments.prompts import suites
from gandiff.experiments.prompts.suites import (
    Prompt,
    PromptSuite,
    check_prompts,
    open_suite,
    prompt_from_dict,
)
from gandiff.experiments.runs.open import open_configured


def published(name: str) -> Path:
    """Find a prompt file that others published; it does not ship with the project."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "prompts"
    path = Path(os.environ.get("GANDIFF_PROMPT_FILES", beside)) / name
    if not path.is_file():
        pytest.skip(f"{name} is not on this machine (set GANDIFF_PROMPT_FILES to its folder)")
    return path


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    suite = open_suite(write(tmp_path, "s.txt", "\ufeffa star\r\n\n  a ring \n# one\n"))
    assert [(p.id, p.text) for p in suite.prompts] == [
        ("00001", "a star"),
        ("00002", "a ring"),
        ("00003", "# one"),
    ]
    assert suite.name == "s"


def test_csv_with_quotes_line_breaks_and_any_case(tmp_path: Path) -> None:
    head = "ID,Prompt,Category,negative_prompt\r\n"
    text = head + 'x1,"a ""big"" star,\nred",Shapes,\r\nx2,a ring,,blue\r\n'
    first, second = open_suite(write(tmp_path, "s.csv", text)).prompts
    assert first == Prompt(id="x1", text='a "big" star,\nred', category="Shapes")
    assert second == Prompt(id="x2", text="a ring", negative_prompt="blue")


def test_tsv_takes_quotes_as_they_are_unless_they_enclose_a_cell(tmp_path: Path) -> None:
    text = 'caption\tNote\n"A B" on a wall\tx\n"a ""B"" sign"\ty\n"\tz\n'
    texts = [p.text for p in open_suite(write(tmp_path, "s.tsv", text)).prompts]
    assert texts == ['"A B" on a wall', 'a "B" sign', '"']


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"prompt": "a bench", "tag": "single", "include": [{"class": "bench", "count": 1}]}\n\n'
        '{"id": 7, "text": "two", "category": "c", "tags": ["a", "b"], "expected": {"count": 2}}\n'
    )
    first, second = open_suite(write(tmp_path, "s.jsonl", text)).prompts
    assert first.category == "single"
    assert first.expected == {"include": [{"class": "bench", "count": 1}]}
    assert (second.id, second.tags, second.expected) == ("7", ("a", "b"), {"count": 2})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "", "a.txt has no prompts"),
        ("a.txt", "\n \n", "a.txt has no prompts"),
        ("a.csv", "", "a.csv has no prompts"),
        ("a.csv", "prompt\n", "a.csv has no prompts"),
        (
            "a.csv",
            "words\na star\n",
            "a.csv:2: expected one of the fields prompt, text, caption; got",
        ),
        ("a.csv", 'prompt\n"a star\n', "this is not CSV"),
        ("a.csv", "id,prompt\n1,a,b\n", "a.csv:2: 3 cells, but the first line names 2 columns"),
        ("a.csv", "id,prompt\n1,\n", "a.csv:2: the prompt is empty"),
        ("a.tsv", "", "a.tsv has no prompts"),
        ("a.tsv", "id\tprompt\n1\ta\tb\n", "a.tsv:2: 3 cells"),
        ("a.jsonl", '{"prompt": 1}\n', "a.jsonl:1: the prompt is empty or not text"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"\n', "a.jsonl:2: this is not JSON"),
        ("a.jsonl", '["a"]\n', 'a.jsonl:1: expected a JSON object, got ["a"]'),
        ("a.jsonl", '{"words": "a"}\n', "a.jsonl:1: expected one of the fields prompt, text"),
        ("a.jsonl", '{"prompt": "a", "expected": 3}\n', "a.jsonl:1: 'expected' must be an object"),
        ("a.csv", "id,prompt\n1,a\n1,b\n", "the prompt id '1' is given twice"),
        ("a.csv", "id,prompt\na,a\nA,b\n", "'A' is given beside 'a', which is the same file name"),
        ("a.csv", "id,prompt\n../x,a\n", "the prompt id '../x' (prompt 1) cannot be a file name"),
        ("a.csv", "id,prompt\n/etc/x,a\n", "cannot be a file name"),
        ("a.csv", "id,prompt\n.x,a\n", "cannot be a file name"),
        ("a.csv", "id,prompt\na\\b,a\n", "cannot be a file name"),
        ("a.csv", f"id,prompt\n{'x' * 200},a\n", "cannot be a file name"),
        ("a.md", "a star\n", "a.md: expected a file ending in .txt, .csv, .tsv, .jsonl"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        open_suite(write(tmp_path, name, text))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a star\n\xff\n")
    with pytest.raises(RequestError, match="expected UTF-8 text; byte 7 is not"):
        open_suite(str(tmp_path / "a.txt"))


def test_unknown_suites_and_files_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no suite is named 'scnes'; did you mean 'scenes'"):
        open_suite("scnes", base=tmp_path)
    write(tmp_path, "prompts.txt", "a\n")
    with pytest.raises(
        RequestError, match=r"there is no prompt file .*; did you mean 'prompts.txt'"
    ):
        open_suite("promts.txt", base=tmp_path)
    with pytest.raises(RequestError, match="there is no prompt file"):
        open_suite("gone/prompts.txt", base=tmp_path)


def test_a_file_without_a_known_ending_is_still_found_by_its_path(tmp_path: Path) -> None:
    write(tmp_path, "prompts.txt", "a\n")
    assert open_suite("prompts.txt", base=tmp_path).prompts[0].text == "a"


def test_prompts_are_exact_and_limit_is_at_most(tmp_path: Path) -> None:
    path = write(tmp_path, "s.txt", "a\nb\nc\n")
    assert len(open_suite(path, prompts=2).prompts) == 2
    assert len(open_suite(path, limit=2).prompts) == 2
    assert len(open_suite(path, limit=20).prompts) == 3
    assert len(open_suite(path, prompts=2, limit=1).prompts) == 1
    with pytest.raises(RequestError, match="has 3 prompts; 4 were asked for"):
        open_suite(path, prompts=4)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    limits=st.lists(st.integers(1, 60), min_size=2, max_size=2).map(sorted),
)
def test_a_limit_takes_of_every_category_its_share(
    sizes: list[int], limits: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [f"{c}-{i},{c} {i},c{c}" for c, size in enumerate(sizes) for i in range(size)]
    text = "id,prompt,category\n" + "\n".join(rows)
    path = write(tmp_path_factory.mktemp("suite"), "s.csv", text)
    small, large = (open_suite(path, limit=limit).prompts for limit in limits)
    assert large[: len(small)] == small
    assert len(large) == min(limits[1], sum(sizes))
    for category, size in enumerate(sizes):
        of_it = sum(prompt.category == f"c{category}" for prompt in large)
        assert abs(of_it - len(large) * size / sum(sizes)) < 2
    # What a run has already comes first, in its order, whatever was drawn.
    begun = [prompt.id for prompt in open_suite(path).prompts[: limits[0]]]
    grown = open_suite(path, limit=limits[1], begun=begun).prompts
    assert [prompt.id for prompt in grown[: len(begun)]] == begun
    assert len({prompt.id for prompt in grown}) == len(large)
    whole = open_suite(path, begun=[p.id for p in small]).prompts
    assert sorted(p.id for p in whole) == sorted(p.id for p in open_suite(path).prompts)


def test_without_categories_a_limit_takes_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, "s.txt", "\n".join(f"prompt {i}" for i in range(20)))
    assert open_suite(path, limit=5).prompts == open_suite(path).prompts[:5]


def test_the_hash_covers_what_a_generator_sees() -> None:
    def sha(**changes: Any) -> str:
        fields = {"id": "a", "text": "x", **changes}
        return PromptSuite(name="s", prompts=(Prompt(**fields),)).sha256

    same = sha(category="c", tags=("t",), expected={"count": 1})
    assert sha() == same
    assert len({sha(), sha(id="b"), sha(text="y"), sha(negative_prompt="n")}) == 4


@given(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1),
            "text": st.text(min_size=1),
            "category": st.none() | st.text(),
            "tags": st.lists(st.text()).map(tuple),
            "negative_prompt": st.none() | st.text(),
            "expected": st.none() | st.dictionaries(st.text(), st.integers()),
        }
    )
)
def test_a_prompt_survives_being_written(fields: dict[str, Any]) -> None:
    prompt = Prompt(**fields)
    assert prompt_from_dict(json.loads(json.dumps(prompt.to_dict()))) == prompt


@given(st.text(min_size=1, max_size=30))
def test_an_accepted_id_stays_in_its_folder(id_: str) -> None:
    try:
        check_prompts([Prompt(id=id_, text="x")], "s")
    except RequestError:
        return
    path = Path("/run/images") / f"{id_}_0.png"
    assert path.resolve().parent == Path("/run/images")
    assert "\x00" not in id_
    assert "\n" not in id_


def test_built_in_scenes_begin_alike_at_every_length() -> None:
    long, short = open_suite("scenes", prompts=40), open_suite("scenes", prompts=12)
    assert long.prompts[:12] == short.prompts
    assert open_suite("scenes").describe().prompts == 128
    assert {p.id for p in open_suite("scenes", split="validation").prompts}.isdisjoint(
        p.id for p in long.prompts
    )
    assert all(p.expected and p.category for p in long.prompts)


def test_the_suite_of_a_comparison(tmp_path: Path) -> None:
    write(tmp_path, "s.txt", "a\nb\n")
    of_file = SuiteConfig(name="s.txt", limit=1)
    comparison = Comparison(name="c", generators={"g": GeneratorConfig(type="gan")}, metrics=())
    comparison = dataclasses.replace(comparison, suite=of_file, base=str(tmp_path))
    suite = open_configured(comparison)
    assert [p.text for p in suite.prompts] == ["a"]


def test_installed_suites_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def colours(split: str, count: int | None) -> list[dict[str, Any]]:
        rows = [{"id": c, "text": f"{c} ({split})", "tags": ["t"]} for c in ("red", "blue")]
        return rows[:count]

    monkeypatch.setattr(suites, "suite_factory", lambda name: colours if name == "col" else None)
    suite = open_suite("col", split="train", prompts=1)
    assert suite.prompts == (Prompt(id="red", text="red (train)", tags=("t",)),)


def test_suite_names_are_listed() -> None:
    assert "scenes" in plugins.suite_names()


def test_partiprompts() -> None:
    suite = open_suite(str(published("PartiPrompts.tsv")))
    assert len(suite.prompts) == 1632
    assert len({p.category for p in suite.prompts}) == 12
    assert len({p.tags for p in suite.prompts}) == 11
    assert suite.prompts[0].text == "bond"
    assert any(p.text.startswith('"G I G G L E" painted') for p in suite.prompts)


def test_geneval() -> None:
    suite = open_suite(str(published("geneval.jsonl")))
    assert len(suite.prompts) == 553
    assert len({p.category for p in suite.prompts}) == 6
    assert suite.prompts[0].expected == {"include": [{"class": "bench", "count": 1}]}


def test_coco_captions() -> None:
    suite = open_suite(str(published("coco2014_val_5k.tsv")))
    assert len(suite.prompts) == 5000
    assert suite.prompts[0] == Prompt(id="70", text="A city at night with people walking around.")
    assert sum('"' in p.text for p in suite.prompts) == 8
    assert not any(p.text.startswith('"') and p.text.endswith('"') for p in suite.prompts)
