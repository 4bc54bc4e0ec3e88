"""Which prompts and pictures a page holds, within a budget of bytes."""

import dataclasses
import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from gandiff.reports import gallery as module
from gandiff.reports.gallery import build_gallery, script_json
from gandiff.reports.reading import load_run
from gandiff.reports.strips import denoising_strips
from gandiff.reports.thumbnails import LARGEST, thumbnail


def test_prompts_come_from_all_categories_alike_and_in_order(run_folder):
    gallery = build_gallery(load_run(run_folder), "scene_accuracy/all")
    assert (len(gallery.prompts), gallery.total, gallery.samples) == (24, 30, 2)
    assert set(Counter(p.category for p in gallery.prompts).values()) == {8}
    assert [p.order for p in gallery.prompts] == sorted(p.order for p in gallery.prompts)
    assert gallery.metrics == ("scene_accuracy/all", "clip_score(model=scenes)")


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
    assert [m["yesno"] for m in data["metrics"]] == [False, True]
    assert data["scores"][0][0][0] == [None, None]  # the failed one
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


def test_denoising_strips(run_folder, make_run):
    (strip,) = denoising_strips(load_run(run_folder))
    assert (strip.generator, strip.seed) == ("ddim-20", 0)
    assert [m.step for m in strip.moments] == [0, 4, 9, 14, 19]
    assert all(m.noisy and m.estimate for m in strip.moments)
    assert denoising_strips(load_run(make_run(prompts=3, generators=("gan",)))) == []
