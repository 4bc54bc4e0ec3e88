"""Run folders as they are found: whole, unfinished, damaged."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gandiff.common.errors import RequestError
from gandiff.reports.document import write_report
from gandiff.reports.reading import load_run
from gandiff.reports.table import wide_tables


def test_a_whole_run_is_read(run_folder):
    run = load_run(run_folder)
    assert run.name == "scenes"
    assert run.headline == ("gan", "ddim-20")
    assert list(run.generators) == ["gan", "gan-psi-0.7", "ddim-20", "dpm-10", "dpm-4"]
    assert run.generators["gan"].failed == 1
    assert len(run.prompts) == 30
    assert len(run.images) == 30 * 2 * 5
    fd = next(r.result for r in run.results if r.result.metric == "fd(encoder=scenes)")
    assert (fd.value, fd.direction, fd.references) == (21.4, "lower", 2000)
    assert fd.protocol["encoder"] == "scenes"
    assert len(run.scores) == 3 * (30 * 2 * 5 - 1)
    assert run.notices == []


@pytest.mark.parametrize(
    "missing",
    [
        "prompts.jsonl",
        "images.jsonl",
        "scores.parquet",
        "results.parquet",
        "differences.parquet",
        "traces/traces.json",
        "images",
    ],
)
def test_any_part_but_the_record_may_be_missing(make_run, missing):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert load_run(folder).headline == ("gan", "ddim-20")


@pytest.mark.parametrize("lacks", ["gan", "ddim-20"])
def test_what_one_generator_lacks_changes_no_label_of_the_others(make_run, lacks):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    kid = {"metric": "kid(encoder=scenes)", "value": 51.0, "group": "Distribution"}
    kid |= {"protocol": json.dumps({"encoder": "scenes"})}
    rows = pq.read_table(folder / "results.parquet").to_pylist()
    rows += [{**rows[0], **kid, "generator": name} for name in ("gan", "ddim-20")]
    pq.write_table(pa.Table.from_pylist(rows), folder / "results.parquet")
    before = {c.metric: c for table in wide_tables(load_run(folder)) for c in table.columns}

    # What cannot be measured is a row without numbers, and without what they were measured by.
    missed = [row for row in rows if row["generator"] == lacks]
    wholes = {row["metric"].partition("/")[0]: row for row in missed}
    why = {"value": None, "low": None, "high": None, "protocol": "{}", "note": "not measured: why"}
    rows = [row for row in rows if row["generator"] != lacks]
    rows += [{**row, **why, "metric": metric} for metric, row in wholes.items()]
    pq.write_table(pa.Table.from_pylist(rows), folder / "results.parquet")
    run = load_run(folder)
    after = {c.metric: c for table in wide_tables(run) for c in table.columns}

    assert list(after) == list(before)
    assert before["kid(encoder=scenes)"].label == "kernel distance (in thousands)"
    for metric, column in after.items():
        cells = dict(zip(run.generators, column.cells, strict=True))
        was = dict(zip(run.generators, before[metric].cells, strict=True))
        assert column.label == before[metric].label
        (other,) = set(run.generators) - {lacks}
        assert cells[other].value == was[other].value
        assert cells[lacks].value in ("not measured", "not known")
        assert any("why" in gap for gap in column.gaps), metric


def test_a_difference_is_read_whole_and_turned_round(run_folder):
    row = next(r for r in load_run(run_folder).differences if (r.a, r.b) == ("gan", "ddim-20"))
    assert row.effect_size == pytest.approx(3.21 * row.difference)
    assert (row.p_holm, row.prompts_needed, row.detectable) == (0.046, 1234, 0.057)
    turned = row.flipped()
    assert (turned.a, turned.b, turned.effect_size) == ("ddim-20", "gan", -row.effect_size)
    assert (turned.p_holm, turned.prompts_needed, turned.detectable) == (0.046, 1234, 0.057)
    assert turned.flipped() == row


def test_differences_of_an_older_run_are_read(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    later = ["effect_size", "p_holm", "prompts_needed", "detectable"]
    table = pq.read_table(folder / "differences.parquet").drop_columns(later)
    pq.write_table(table, folder / "differences.parquet")
    run = load_run(folder)
    assert run.notices == []
    row = run.differences[0]
    assert row.prompts == 3
    assert [getattr(row, name) for name in later] == [None] * 4
    assert row.flipped().effect_size is None
    page = write_report(folder).html.read_text("utf-8")
    assert "Paired differences over the same prompts" in page


def test_intervals_of_an_older_run_hold_0_where_p_does_not_deny_it(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    like = pq.read_table(folder / "differences.parquet").to_pylist()[0]
    rows = [dict(like) for _ in range(3)]
    for row, p in zip(rows, [0.0625, 0.049, 0.3], strict=True):
        row |= {"difference": -0.2, "low": -0.3, "high": -0.1, "p_value": p}
        row |= {"farther": 0.2, "farther_low": 0.1, "farther_high": 0.3, "clusters": None}
    rows[-1] |= {"farther": 0.1}  # a on one side of the target, b on the other
    pq.write_table(pa.Table.from_pylist(rows), folder / "differences.parquet")
    *read, across = load_run(folder).differences
    assert {(r.p_value, r.low, r.high, r.farther_low, r.farther_high) for r in read} == {
        (0.0625, -0.3, 0.0, 0.0, 0.3),
        (0.049, -0.3, -0.1, 0.1, 0.3),
    }
    assert (across.low, across.high) == (-0.3, 0.0)
    assert (across.farther_low, across.farther_high) == (0.1, 0.3)


def test_damaged_parts_are_left_out_with_a_notice(make_run):
    folder = make_run(prompts=3, generators=("gan", "ddim-20"))
    with (folder / "images.jsonl").open("a") as lines:
        lines.write('{"key": "torn')
    (folder / "scores.parquet").write_bytes(b"PAR1 and then nothing")
    (folder / "traces" / "traces.json").write_text("[")
    run = load_run(folder)
    assert len(run.images) == 12
    assert [n.split(" ")[0] for n in run.notices] == ["line", "scores.parquet", "traces.json"] or {
        word for n in run.notices for word in n.split(" ")
    } >= {"images.jsonl", "scores.parquet", "traces.json"}


def test_no_run_is_a_clear_error(tmp_path):
    with pytest.raises(RequestError, match=r"no run\.json in .*give the folder of a run"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RequestError, match="holds list, expected a JSON object"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(RequestError, match="schema 2; this version reads schema 1"):
        load_run(tmp_path)


def test_numbers_that_are_none_nan_or_infinite_are_not_measured(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "generators": {"gan": None}}))
    rows = [
        {"generator": "gan", "metric": f"m{i}", "value": v, "direction": "up?", "protocol": p}
        for i, (v, p) in enumerate([(None, None), (float("nan"), "{"), (float("inf"), "[1]")])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "results.parquet")
    results = [r.result for r in load_run(tmp_path).results]
    assert [r.value for r in results] == [None] * 3
    assert {r.direction for r in results} == {"none"}
    assert results[1].protocol == {"as written": "{"}


def test_files_outside_the_run_are_not_read(make_run):
    folder = make_run(prompts=3, generators=("gan",))
    run = load_run(folder)
    (folder.parent / "secret.png").write_bytes(b"x")
    assert run.file("images/gan/p0000_0.png") is not None
    for path in ("../secret.png", str(folder.parent / "secret.png"), "images", "\0", "", None, 3):
        assert run.file(path) is None
