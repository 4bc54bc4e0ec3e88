"""Comparison files that are refused: every one with its place and its reason, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_helpers import GOOD, TOY, load_text

from gandiff.common.errors import RequestError
from gandiff.experiments.config.load import load_comparison

BAD = {
    "generators.gan.shdae": (
        GOOD.replace("shade", "shdae"),
        "c.yaml:6: generators.gan.shdae: unknown field; did you mean 'shade'?",
    ),
    "setting of the wrong kind": (
        GOOD.replace("shade: 3", "shade: many"),
        "c.yaml:6: generators.gan.shade: must be a whole number, got 'many'",
    ),
    "unknown type": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: folders}"),
        "c.yaml:7: generators.other.type: no generator type is named 'folders'; "
        "did you mean 'folder'?",
    ),
    "unknown factory": (
        GOOD.replace("ToyGenerator}", "ToyGenerater}"),
        "has no 'ToyGenerater'; did you mean 'ToyGenerator'?",
    ),
    "no such module": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: 'no_such_thing:make'}"),
        "c.yaml:7: generators.other.type: no_such_thing:make cannot be imported: "
        "No module named 'no_such_thing'; looked in",
    ),
    "no such file": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: 'gone.py:make'}"),
        "c.yaml:7: generators.other.type: gone.py:make: there is no file",
    ),
    "not callable": (
        GOOD.replace("ToyGenerator}", "nothing_to_call}"),
        "nothing_to_call must be callable, got 3",
    ),
    "missing setting": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: diffusers}"),
        "c.yaml:7: generators.other.pipeline: missing required field",
    ),
    "wrong setting of a built-in": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: gan, truncation_psi: 3.5}"),
        "c.yaml:7: generators.other.truncation_psi: must be between 0 and 2, got 3.5",
    ),
    "unknown scheduler": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: diffusers, pipeline: a/b, scheduler: dimm}"),
        "c.yaml:7: generators.other.scheduler: there is no scheduler named 'dimm'; "
        "did you mean 'ddim'?",
    ),
    "missing weights": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: gan, weights: gan-scnes}"),
        "c.yaml:7: generators.other.weights: no weights named 'gan-scnes' ship with the project",
    ),
    "missing pipeline": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: diffusers, pipeline: ./sd}"),
        "c.yaml:7: generators.other.pipeline: there is nothing at ",
    ),
    "missing folder of images": (
        GOOD.replace(f"{{type: {TOY}}}", "{type: folder, folder: imgs}"),
        "c.yaml:7: generators.other.folder: there is no folder ",
    ),
    "missing type": (
        GOOD.replace(f"    type: {TOY}\n", ""),
        "c.yaml:4: generators.gan.type: missing required field",
    ),
    "unknown metric": (
        GOOD.replace("vendi", "vendy"),
        "c.yaml:9: metrics.0: no metric is named 'vendy'; did you mean 'vendi'?",
    ),
    "metric by its module": (
        GOOD.replace("vendi(encoder=scenes)", "myplug:Bright"),
        "c.yaml:9: metrics.0: no metric is named 'myplug:Bright' (a metric of your own is named by "
        "its entry point in an installed package (group gandiff.metrics), not as module:factory)",
    ),
    "metric by its file": (
        GOOD.replace("vendi(encoder=scenes)", "plugs/mine.py:Bright(level=3)"),
        "c.yaml:9: metrics.0: cannot read the metric 'plugs/mine.py:Bright(level=3)'; write name "
        "or name(key=value,...) (a metric of your own is named by its entry point",
    ),
    "unknown parameter": (
        GOOD.replace("encoder=scenes", "encodr=scenes"),
        "c.yaml:9: metrics.0: vendi(encodr=scenes): ",
    ),
    "unknown encoder": (
        GOOD.replace("encoder=scenes", "encoder=incepton"),
        "c.yaml:9: metrics.0: vendi(encoder=incepton): there is no encoder 'incepton'; "
        "did you mean",
    ),
    "unreadable metric": (
        GOOD.replace("vendi(encoder=scenes)", "vendi("),
        "c.yaml:9: metrics.0: cannot read the metric 'vendi('",
    ),
    "metric split by flow style": (
        GOOD.replace("\n  - vendi(encoder=scenes)", " [vendi(encoder=scenes,q=2)]"),
        "(inside [ ] a metric with commas needs quotes)",
    ),
    "metric twice": (
        GOOD + "  - vendi( encoder = scenes )\n",
        "c.yaml:10: metrics.1: vendi(encoder=scenes) is asked for twice",
    ),
    "distribution metric without reference": (
        GOOD + "  - fid\n",
        "c.yaml:10: metrics.1: fd(encoder=inception) compares with real images; add 'reference:'",
    ),
    "unknown suite": (
        GOOD.replace("suite: prompts.txt", "suite: scened"),
        "c.yaml:2: suite.name: no suite is named 'scened'; did you mean 'scenes'?",
    ),
    "missing prompt file": (
        GOOD.replace("suite: prompts.txt", "suite: promts.txt"),
        "promts.txt; did you mean 'prompts.txt'?",
    ),
    "unknown field": (
        GOOD + "samples: 3\n",
        "c.yaml:10: samples: unknown field; did you mean 'samples_per_prompt'?",
    ),
    "unknown inner field": (
        GOOD + "timing:\n  repeats: 3\n  repaets: 3\n",
        "c.yaml:12: timing.repaets: unknown field; did you mean 'repeats'?",
    ),
    "wrong kind": (
        GOOD + "seed: '3'\n",
        "c.yaml:10: seed: must be a whole number, got '3'",
    ),
    "yes is text": (
        GOOD + "timing: {warmup: yes}\n",
        "c.yaml:10: timing.warmup: must be a whole number, got 'yes'",
    ),
    "out of range": (
        GOOD + "samples_per_prompt: 0\n",
        "c.yaml:10: samples_per_prompt: must be between 1 and 10000, got 0",
    ),
    "one of": (
        GOOD + "device: gpu\n",
        "c.yaml:10: device: must be one of auto, cpu, cuda, mps, got 'gpu'",
    ),
    "list for a mapping": (
        GOOD + "timing: [1]\n",
        "c.yaml:10: timing: must be a mapping of names to values, got a list",
    ),
    "mapping for a list": (
        GOOD.replace("  - vendi(encoder=scenes)", "  vendi: 1"),
        "c.yaml:8: metrics: must be a list, got a mapping",
    ),
    "empty list": (
        GOOD + "timing: {batch_sizes: []}\n",
        "c.yaml:10: timing.batch_sizes: must have at least 1 item, got 0",
    ),
    "generator that is no mapping": (
        GOOD.replace(f"other: {{type: {TOY}}}", "other: gan"),
        "c.yaml:7: generators.other: must be a mapping with 'type:' and settings, got 'gan'",
    ),
    "no generators": (
        "name: x\nsuite: prompts.txt\nmetrics: []\n",
        "generators: missing required field",
    ),
    "empty generators": (
        "name: x\nsuite: prompts.txt\nmetrics: []\ngenerators: {}\n",
        "c.yaml:4: generators: must have at least 1 item, got 0",
    ),
    "unsafe generator name": (
        GOOD.replace("  other:", "  ../other:"),
        "c.yaml:7: generators.../other: '../other' cannot be the name of a file",
    ),
    "unsafe run name": (
        GOOD.replace("name: good", "name: ../good"),
        "c.yaml:1: name: '../good' cannot be the name of a file",
    ),
    "names that clash": (
        GOOD.replace("  other:", "  GAN:"),
        "c.yaml:7: generators.GAN: differs from 'gan' only in case",
    ),
    "headline": (
        GOOD + "headline: [gan, othr]\n",
        "c.yaml:10: headline.1: no generator is named 'othr'; did you mean 'other'?",
    ),
    "headline of one": (
        GOOD + "headline: [gan, gan]\n",
        "c.yaml:10: headline: must name two different generators",
    ),
    "reference": (
        GOOD + "reference: {images: 5}\n",
        "c.yaml:10: reference: a reference needs 'folder: PATH', or 'type: scenes'",
    ),
    "missing reference folder": (
        GOOD + "reference: {folder: real}\n",
        "c.yaml:10: reference.folder: there is no folder ",
    ),
    "twice": (
        GOOD + "name: again\n",
        "c.yaml:10: name: given twice; the first is in line 1",
    ),
    "setting twice": (
        GOOD.replace("    shade: 3\n", "    shade: 3\n    shade: 4\n"),
        "c.yaml:7: generators.gan.shade: given twice; the first is in line 6",
    ),
    "not YAML": (
        GOOD + "timing: {repeats: 3\n",
        "this is not valid YAML: ",
    ),
    "control characters": ("name: \x00\n", "this is not valid YAML"),
    "tab": (GOOD + "timing:\n\trepeats: 3\n", "c.yaml:11: this is not valid YAML"),
    "list at the top": ("- a\n", "must be a comparison (fields such as 'generators:'"),
    "empty file": ("", "must be a comparison (fields such as 'generators:'"),
    "two documents": (GOOD + "---\nname: x\n", "this is not valid YAML"),
    "alias of itself": (
        GOOD + "timing: &t\n  batch_sizes: *t\n",
        "an alias (*) refers to what it stands in",
    ),
    "infinite": (GOOD + "seed: .inf\n", "c.yaml:10: seed: must be a finite number, got .inf"),
    "python tag": (
        GOOD + "report: !!python/object/apply:os.getcwd []\n",
        "c.yaml:10: report: must be a mapping of names to values, got an empty list",
    ),
    "foreign tag": (GOOD + "seed: !dice 3\n", "c.yaml:10: seed: the tag !dice means nothing here"),
    "key that is a list": (GOOD + "? [a]\n: 3\n", "a field name must be plain text"),
    "internal field": (GOOD + "base: /\n", "c.yaml:10: base: unknown field"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_place_and_reason(tmp_path: Path, case: str) -> None:
    text, says = BAD[case]
    with pytest.raises(RequestError) as refused:
        load_text(tmp_path, text)
    message = str(refused.value)
    assert says in message
    assert "c.yaml" in message
    assert "\n" not in message


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    load_text(tmp_path, GOOD)
    with pytest.raises(
        RequestError, match=r"there is no comparison file .*; did you mean 'c.yaml'"
    ):
        load_comparison(tmp_path / "d.yaml")
    with pytest.raises(RequestError, match="is a folder"):
        load_comparison(tmp_path)
    (tmp_path / "c.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RequestError, match="which is UTF-8"):
        load_comparison(tmp_path / "c.yaml")


def test_only_the_first_problem_is_told_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"seed: .* got 'x' \(1 more follow\)"):
        load_text(tmp_path, GOOD + "seed: x\nbatch_size: y\n")
