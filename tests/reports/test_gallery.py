"""Which prompts and pictures a page holds, within a budget of bytes."""

import dataclasses
import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from gandiff.common.real_pictures import facts_sha256
from gandiff.reports import gallery as module
from gandiff.reports.gallery import build_gallery, script_json
from gandiff.reports.reading import load_run
from gandiff.reports.strips import denoising, without_steps
from gandiff.reports.thumbnails import LARGEST, thumbnail


def test_prompts_come_from_all_categories_alike_and_in_order(run_folder):
    gallery = build_gallery(load_run(run_folder), "scene_accuracy/all")
    assert (len(gallery.prompts), gallery.total, gallery.samples) == (24, 30, 2)
    assert set(Counter(p.category for p in gallery.prompts).values()) == {8}
    assert [p.order for p in gallery.prompts] == sorted(p.order for p in gallery.prompts)
    assert gallery.metrics == (
        "scene_accuracy/all",
        "clip_score(model=scenes)",
        "scene_accuracy/colour",
    )


def test_every_generator_shows_the_same_prompt_and_seeds(run_folder):
    run = load_run(run_folder)
    seeds = {(i.prompt_id, i.sample): i.seed for i in run.images}
    for prompt in build_gallery(run).prompts:
        assert list(prompt.rows) == list(run.generators)
        for row in prompt.rows.values():
            assert [p.seed for p in row] == [seeds[prompt.id, k] for k in (0, 1)]
        assert list(prompt.seeds) == [seeds[prompt.id, k] for k in (0, 1)]


def test_a_failed_image_is_a_place_with_a_reason(run_folder):
    gallery = build_gallery(load_run(run_folder))
    failed = gallery.prompts[0].rows["gan"][0]
    assert (failed.uri, failed.reason) == (None, "failed: the image is black")


def test_scores_stand_at_their_image(run_folder):
    run = load_run(run_folder)
    gallery = build_gallery(run, "clip_score(model=scenes)")
    data = json.loads(gallery.data)
    assert [m["yesno"] for m in data["metrics"]] == [False, True, False]
    assert [m["facts"] for m in data["metrics"]] == [False, True, False]
    points = {"factor": 0.01, "decimals": 1, "unit": "points"}
    assert [m["ahead"] for m in data["metrics"][1:]] == [points, points]
    assert data["metrics"][0]["ahead"]["factor"] == 1.0
    assert data["scores"][0][0][0] == [None, None, None]  # the failed one
    wanted = next(
        s
        for s in run.scores
        if s.metric == "clip_score(model=scenes)"
        and (s.generator, s.prompt_id, s.sample) == ("dpm-4", "p0002", 1)
    )
    place = [p.id for p in gallery.prompts].index("p0002")
    assert data["scores"][place][4][1][0] == pytest.approx(wanted.value, abs=1e-6)


def test_the_budget_limits_the_prompts(run_folder, monkeypatch):
    run = load_run(run_folder)
    monkeypatch.setattr(module, "BUDGET", 100_000)
    gallery = build_gallery(run)
    assert 1 <= len(gallery.prompts) < 24
    spent = sum(
        len(p.uri) for g in gallery.prompts for row in g.rows.values() for p in row if p.uri
    )
    assert spent * 3 / 4 <= 100_000


def test_missing_and_unreadable_files_are_places_too(make_run):
    folder = make_run(prompts=3, generators=("gan",))
    (folder / "images/gan/p0000_0.png").unlink()
    (folder / "images/gan/p0001_0.png").write_bytes(b"no picture")
    run = load_run(folder)
    rows = [p.rows["gan"] for p in build_gallery(run).prompts]
    assert [r[0].uri is None for r in rows] == [True, True, False]
    assert "missing or unreadable" in rows[0][0].reason
    unplanned = dataclasses.replace(run, images=run.images[2:])
    assert build_gallery(unplanned).prompts[0].rows["gan"][0].reason == "not made"


def test_small_pngs_stay_as_they_are_and_large_pictures_shrink(tmp_path):
    small, large, jpeg = (tmp_path / n for n in ("small.png", "large.png", "small.jpg"))
    noise = np.random.default_rng(0).integers(0, 256, (512, 400, 3), dtype=np.uint8)
    Image.fromarray(noise[:32, :32]).save(small)
    Image.fromarray(noise).save(large)
    Image.fromarray(noise[:32, :32]).save(jpeg)
    assert thumbnail(small) == small.read_bytes()
    assert Image.open(io.BytesIO(thumbnail(large))).size == (LARGEST * 400 // 512, LARGEST)
    assert Image.open(io.BytesIO(thumbnail(jpeg))).format == "PNG"
    assert thumbnail(tmp_path / "none.png") is None


def test_json_cannot_end_its_script_element():
    value = {"text": "</script><!-- & \u2028 \ud800"}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_a_wrong_fact_is_named_at_its_image(run_folder):
    run = load_run(run_folder)
    right = {
        (s.generator, s.prompt_id, s.sample): s.value == 1.0
        for s in run.scores
        if s.metric == "scene_accuracy/all"
    }
    assert set(right.values()) == {True, False}
    gallery = build_gallery(run, "scene_accuracy/all")
    for prompt in gallery.prompts:
        for name, row in prompt.rows.items():
            for k, picture in enumerate(row):
                wrong = () if right.get((name, prompt.id, k), True) else ("colour",)
                assert picture.wrong == wrong
    plain = dataclasses.replace(
        run, scores=[s for s in run.scores if not s.metric.endswith("/colour")]
    )
    assert build_gallery(plain).facts == ""


def test_real_pictures_are_those_of_the_facts_that_the_prompt_states(make_run):
    folder = make_run(prompts=3, generators=("gan",))
    rows = [prompt.real for prompt in build_gallery(load_run(folder)).prompts]
    assert [[p.path for p in row] for row in rows] == [
        [f"reference/matched-32/p{i:04d}_{k}.png" for k in (0, 1)] for i in range(3)
    ]
    assert all(p.uri for row in rows for p in row)
    hashes = {"p0000": facts_sha256(None), "p0001": facts_sha256({"count": 2})}
    (folder / "reference/matched-32/facts.json").write_text(json.dumps(hashes))
    rows = [prompt.real for prompt in build_gallery(load_run(folder)).prompts]
    assert [len(row) for row in rows] == [2, 0, 0]
    shutil.rmtree(folder / "reference")
    assert {prompt.real for prompt in build_gallery(load_run(folder)).prompts} == {()}


def test_a_gan_has_its_one_step_beside_the_denoising(run_folder, make_run):
    run = load_run(run_folder)
    (one,) = shown = denoising(run)
    (strip,) = one.strips
    assert (strip.generator, one.prompt, one.seed) == ("ddim-20", "a red circle", 0)
    assert [m.step for m in strip.moments] == [0, 4, 9, 14, 19]
    assert all(m.noisy and m.estimate for m in strip.moments)
    assert [(name, bool(p.uri), p.reason) for name, p in one.gans] == [
        ("gan", False, "failed: the image is black"),
        ("gan-psi-0.7", True, ""),
    ]
    reasons = [{"generator": n, "reason": "it has none"} for n in ("gan-psi-0.7", "dpm-4")]
    with_reasons = dataclasses.replace(run, traces=[*run.traces, *reasons])
    assert without_steps(with_reasons, denoising(with_reasons)) == [("dpm-4", "it has none")]
    assert without_steps(run, shown) == []
    assert denoising(load_run(make_run(prompts=3, generators=("gan",)))) == []
