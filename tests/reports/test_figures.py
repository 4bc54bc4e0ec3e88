"""The figures: what they show, that names keep apart, that bytes repeat."""

import dataclasses
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from gandiff.evaluate.result import MetricResult
from gandiff.experiments.runs.describe import about_metric
from gandiff.reports.figures import draw_figures, pareto_front
from gandiff.reports.labels import label_points, name_points
from gandiff.reports.palette import FAMILY_COLOURS, Look, looks
from gandiff.reports.plotting import STYLE, Point, canvas, draw_points, inline_svg
from gandiff.reports.reading import load_run
from gandiff.reports.run_data import GeneratorFacts, ResultRow

LOOK = Look(FAMILY_COLOURS["gan"], "o", "gan")


@pytest.fixture(scope="module")
def drawings(run_folder):
    return draw_figures(load_run(run_folder))


def test_every_figure_is_there_as_png_and_svg(drawings):
    names = [d.name for d in drawings]
    assert names == [
        "alignment_against_time",
        "distribution_against_time",
        "diversity_against_alignment",
        "scores_by_category",
        "steps_alignment",
        "steps_distribution",
        "training_gan",
        "training_ddim-20",
        "training_health_gan",
    ]
    for drawing in drawings:
        pixels = np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L"))
        assert pixels.shape[1] > 700
        assert pixels.std() > 5
        assert ElementTree.fromstring(drawing.svg).tag.endswith("svg")
    assert "front: gan, gan-psi-0.7, dpm-4, dpm-10, ddim-20" in drawings[0].caption
    assert plt.get_fignums() == []  # all closed again
    assert "95 % intervals over prompts: bootstrap, score interval of shares" in drawings[3].caption


def test_a_run_without_numbers_has_no_figures(make_run):
    run = load_run(make_run(prompts=3, generators=("gan",)))
    bare = {"gan": GeneratorFacts(name="gan")}
    assert draw_figures(dataclasses.replace(run, results=[], categories=[], generators=bare)) == []


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ("target", "higher", "the top, nearest to the dotted line: the diversity of real images"),
        ("higher", "higher", "the top right"),
        ("higher", "lower", "the bottom right"),
        ("lower", "higher", "the top left"),
        ("none", "higher", "the top"),
        ("higher", "target", "the right, nearest to the dotted line"),
        ("target", "target", "nearest to the dotted lines"),
        ("none", "none", None),
    ],
)
def test_where_the_best_is_follows_from_both_directions(run_folder, x, y, said):
    run = load_run(run_folder)
    directions = {"diversity(encoder=scenes)": x, "scene_accuracy/all": y}
    rows = [
        dataclasses.replace(
            row,
            result=dataclasses.replace(
                row.result, direction=way, target=1.0 if way == "target" else None
            ),
        )
        for row in run.results
        if (way := directions.get(row.result.metric))
    ]
    bare = dataclasses.replace(run, results=rows, categories=[])
    caption = {d.name: d.caption for d in draw_figures(bare)}["diversity_against_alignment"]
    assert caption.partition("Whiskers")[0] == (f"Best is {said}. " if said else "")


def test_prompts_without_categories_have_no_figure_of_them(run_folder):
    run = load_run(run_folder)
    scores = [dataclasses.replace(score, category="") for score in run.categories]
    names = [d.name for d in draw_figures(dataclasses.replace(run, categories=scores))]
    assert "scores_by_category" not in names
    assert "alignment_against_time" in names


@pytest.mark.parametrize("seconds", [0.005, 0.5, 4.74, 900.0])
def test_a_single_time_without_an_interval_stands_inside_its_axis(seconds, run_folder, recwarn):
    """Margins of a logarithmic axis make no room around one place."""
    run = load_run(run_folder)
    name = next(iter(run.generators))
    scores = [r for r in run.results if r.generator == name and r.result.described.axis != "cost"]
    about = about_metric("latency_seconds")
    timed = MetricResult(metric="latency_seconds", value=seconds, about=about, direction="lower")
    alone = dataclasses.replace(
        run,
        generators={name: run.generators[name]},
        results=[*scores, ResultRow(name, timed)],
        categories=[],
    )
    drawn = {d.name: np.asarray(Image.open(io.BytesIO(d.png))) for d in draw_figures(alone)}
    marked = marks_of_family(drawn["alignment_against_time"])
    assert 0.2 < marked.mean() / drawn["alignment_against_time"].shape[1] < 0.9
    assert not [w for w in recwarn if "layout" in str(w.message)]


def marks_of_family(pixels):
    """Columns of the pixels in the colour of the GANs."""
    colour = np.array([int(LOOK.colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.flatnonzero((np.abs(pixels[..., :3] - colour).max(-1) < 30).any(0))


def test_pareto_front():
    points = [
        Point(n, float(x), float(y), LOOK)
        for n, x, y in (
            ("slow", 9, 5),
            ("best", 8, 6),
            ("fast", 1, 2),
            ("worse", 2, 1),
            ("same", 1, 2),
        )
    ]
    higher = MetricResult(metric="m", value=None, direction="higher")
    lower = dataclasses.replace(higher, direction="lower")
    assert [p.name for p in pareto_front(points, higher)] == ["fast", "best"]
    assert [p.name for p in pareto_front(points, lower)] == ["fast", "worse"]


@pytest.mark.parametrize("seed", range(3))
def test_names_cover_neither_each_other_nor_a_point(seed):
    rng = np.random.default_rng(seed)
    spread = rng.normal(0, 0.25 if seed else 0.02, (8, 2))
    points = [
        Point(f"generator-{i}", 1 + float(x), 1 + float(y), LOOK) for i, (x, y) in enumerate(spread)
    ]
    figure, axes = plt.subplots(figsize=(5.2, 3.7), layout="constrained")
    draw_points(axes, points)
    axes.set_xlim(0, 2)
    axes.set_ylim(0, 2)
    label_points(axes, points)
    boxes = [t.get_window_extent() for t in axes.texts if t.get_text()]
    dots = axes.transData.transform([(p.x, p.y) for p in points])
    assert len(boxes) == 8
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(x, y) for x, y in dots)
    plt.close(figure)


def test_names_too_long_for_their_points_stand_whole_in_the_legend():
    points = [Point(f"{k}-{'m' * 62}", 1.0 + k, 2.0 - k, LOOK) for k in range(5)]
    with plt.rc_context(STYLE):
        figure, axes = canvas()
        draw_points(axes, points)
        name_points(figure, axes, points)
        (legend,) = figure.legends
        texts = legend.get_texts()
        boxes = [one.get_window_extent() for one in (legend, *texts)]
    assert sorted(t.get_text() for t in axes.texts if t.get_text()) == list("12345")
    said = ["".join(t.get_text().split("\n")) for t in texts]
    assert said == [f"{k}  {p.name}" for k, p in enumerate(points, 1)]
    assert min(box.x0 for box in boxes) >= figure.bbox.x0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert min(box.y0 for box in boxes) >= figure.bbox.y0
    plt.close(figure)


def test_families_share_a_colour_and_members_differ_by_marker():
    generators = {
        n: GeneratorFacts(name=n, family=f)
        for n, f in (("a", "gan"), ("b", "diffusion"), ("c", "gan"), ("d", "unheard of"))
    }
    found = looks(generators)
    assert found["a"].colour == found["c"].colour != found["b"].colour
    assert found["a"].marker != found["c"].marker
    assert found["d"].family == "other"
    kept = looks({**generators, "a@1": GeneratorFacts(name="a@1", family="gan")})["a@1"]
    assert kept.colour not in {one.colour for one in found.values()}
    for ground in (1.0, _luminance("#14171c")):
        one, other = sorted((_luminance(kept.colour), ground))
        assert (other + 0.05) / (one + 0.05) >= 3


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("family", list(FAMILY_COLOURS))
def test_colours_stand_out_on_light_and_dark(family):
    own = _luminance(FAMILY_COLOURS[family])
    assert (_luminance("#ffffff") + 0.05) / (own + 0.05) >= 3
    assert (own + 0.05) / (_luminance("#1b1e21") + 0.05) >= 3


def test_an_inlined_drawing_is_an_element_of_its_own(drawings):
    a, b = (inline_svg(d.svg, f"f{i}") for i, d in enumerate(drawings[:2]))
    assert a.startswith("<svg aria-hidden")
    assert "<?xml" not in a
    assert "currentColor" in a

    def ids(text):
        return {e.get("id") for e in ElementTree.fromstring(text).iter()} - {None}

    assert ids(a)
    assert not ids(a) & ids(b)
    for element in ElementTree.fromstring(a).iter():
        target = element.get("{http://www.w3.org/1999/xlink}href")
        assert target is None or target[1:] in ids(a)
