"""``gandiff init`` and ``gandiff compare-models``: a first comparison of what a user has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import toys
from run_helpers import TOY

from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison

pytestmark = pytest.mark.usefixtures("empty_folder")
FAST = ["--set", "metrics=[vendi(encoder=scenes)]", "--set", "timing=off", "--quiet"]


def prompts(*texts: str) -> str:
    Path("prompts.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return "prompts.txt"


def settings(name: str, file: str = "comparison.yaml") -> dict[str, Any]:
    return dict(load_comparison(file).generators[name].settings)


def uncommented(text: str) -> list[str]:
    """The text with each of the settings that stand behind a # set in turn."""
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines) if re.match(r" *# [a-z_]+: \S*$", line)]
    return ["\n".join([*lines[:i], lines[i].replace("# ", "", 1), *lines[i + 1 :]]) for i in places]


def test_nothing_but_init_compares_the_shipped_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("comparison.yaml\nprompts: 128 of scenes\n")
    assert "gandiff run comparison.yaml --limit 8" in said.out
    made = load_comparison("comparison.yaml")
    assert made.headline == ("gan-scenes", "diffusion-scenes")
    assert made.generators["diffusion-scenes"].settings["num_inference_steps"] == 20
    assert {"scene_accuracy", "fd(encoder=scenes)", "diversity(encoder=scenes)"} <= {*made.metrics}


def test_a_file_of_folders_pipelines_and_models(
    toy_pipeline: Path, toy_gan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of files, samples and paths are those that fit; every comment can be switched on."""
    file = prompts("a star", "a ring", "a heart")
    toys.save_toy_images(Path("elsewhere"), [f"img_{i}-{k}.png" for i in (0, 1, 2) for k in (1, 2)])
    toys.save_toy_images(Path("photos"), [f"{i}.png" for i in range(4)])
    line = ["init", "--folder", "elsewhere", "--pipeline", f"{toy_pipeline},guidance_scale=3"]
    line += [f"ours={toy_gan}", "--prompts", file, "--reference", "photos"]
    assert main([*line, "--out", "deep/mine.yaml"]) == 0
    said = capsys.readouterr()
    assert "elsewhere: 6 of 6 images found" in said.out
    assert "clip_score(model=ViT-B-32/openai) is left out: " in said.err
    made = load_comparison("deep/mine.yaml")
    assert (made.name, made.samples_per_prompt, made.suite.name) == ("mine", 2, "../prompts.txt")
    assert [*made.generators] == ["ours", "toy-pipeline", "elsewhere"]
    assert made.generators["elsewhere"].settings["pattern"] == "img_{index-1}-{sample}"
    assert made.generators["toy-pipeline"].settings["guidance_scale"] == 3
    text = Path("deep/mine.yaml").read_text()
    assert "folder: ../elsewhere" in text
    assert "# - clip_score(model=ViT-B-32/openai)" in text
    choices = uncommented(text)
    assert len(choices) > 8
    for choice in choices:
        Path("deep/mine.yaml").write_text(choice)
        load_comparison("deep/mine.yaml")


def test_captions_beside_the_images_are_the_prompts() -> None:
    images = [toys.np.asarray(toys.toy_image(i)) for i in range(3)]
    toys.save_captioned(Path("made"), images, ["a star", "a ring", "a heart"])
    assert main(["init", "--folder", "made", "--quiet"]) == 0
    made = load_comparison("comparison.yaml")
    assert (made.suite.name, made.samples_per_prompt) == ("made/metadata.jsonl", 1)
    assert "diversity(encoder=inception)" not in made.metrics  # it needs two samples


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("init --folder pics", "which prompts pics is to draw must be given: --prompts FILE"),
        ("init --folder pics --prompts none.txt", "there is no prompt file"),
        ("init --folder none --prompts prompts.txt", "folder: there is no folder"),
        ("init --folder pics --prompts prompts.txt", "0 of 2 images found in"),
        ("init pic --prompts prompts.txt", "no model is named 'pic'"),
        ("init run --prompts prompts.txt", "run is a run folder; must be a model"),
        ("init a=gan-scenes a=diffusion-scenes", "two models have the same name"),
        ("init gan-scenes,psi=1", "psi"),
        ("init --out mine.txt", "--out mine.txt: give a name ending in .yaml"),
        ("init --out comparison.yaml", "comparison.yaml is there already"),
        ("init --samples 0", "--samples"),
        ("init gan-scenes --reference pic.png", "there is no folder"),
        ("compare-models gan-scenes", "takes two models or more, got 'gan-scenes' alone"),
        ("compare-models run run", "run is a run folder"),
        ("compare-models gan-scenes none.py:f --prompts prompts.txt", "none.py"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts("a star", "a ring")
    toys.save_toy_images(Path("pics"), ["other.png", "names.png"])
    Path("run").mkdir()
    Path("run/run.json").write_text("{}")
    Path("comparison.yaml").write_text("mine: 1\n")
    before = sorted(Path().rglob("*"))
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert sorted(Path().rglob("*")) == before
    assert Path("comparison.yaml").read_text() == "mine: 1\n"


def test_a_comparison_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """It has a report and its file; the same command again makes nothing again."""
    file = prompts("a star", "a ring")
    line = ["compare-models", f"{TOY},shade=3,log=log.txt", f"b={TOY},family=diffusion"]
    line += ["--prompts", file, "--samples", "2", *FAST]
    assert main(line) == 0
    folder = Path("runs/ToyGenerator-vs-b")
    assert f"report: {folder}/report/report.html" in capsys.readouterr().out
    assert (folder / "report" / "report.html").is_file()
    made = json.loads((folder / "run.json").read_text())
    assert made["commands"][0].startswith("gandiff compare-models ")
    calls = Path("log.txt").read_text()
    assert main(line) == 0
    assert Path("log.txt").read_text() == calls
    written = folder / "comparison.yaml"
    assert [*load_comparison(written).generators] == ["ToyGenerator", "b"]
    assert settings("b", str(written))["family"] == "diffusion"


def test_what_a_comparison_without_a_file_leaves_out_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, by the command and in its report."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for folder in ("a", "b"):
        toys.save_toy_images(Path(folder), ["1.png", "2.png"])
    assert main(["compare-models", "a", "b", "--prompts", prompts("a star", "a ring")]) == 0
    said, report = capsys.readouterr(), Path("runs/a-vs-b/report/report.md").read_text("utf-8")
    assert "clip_score" in said.err
    for line in (said.err, report, Path("runs/a-vs-b/run.json").read_text()):
        assert "is left out: " in line
    why = (
        "Alignment was not measured (clip_score(model=ViT-B-32/openai) was left out: the weights "
        "of the CLIP model ViT-B-32/openai are missing)."
    )
    few = "Diversity was not measured (diversity(encoder=inception) was left out: "
    for text in (said.out, report):
        assert why in text.replace("\\", "")
        assert few in text.replace("\\", "")
        assert "no metric of it was asked for" not in text
    assert main(["report", "runs/a-vs-b"]) == 0  # which reads it from the run
    assert why in capsys.readouterr().out


def test_models_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a/pics", "b/pics"):
        toys.save_toy_images(Path(folder), ["1.png", "2.png"])
    file = prompts("a star", "a ring")
    line = ["init", "--prompts", file, "--folder", "a/pics", "--folder", "b/pics"]
    line += [f"{TOY},shade=3", f"{TOY},shade=4", f"{TOY},shade=3", "--json"]
    assert main(line) == 0
    said = json.loads(capsys.readouterr().out)
    toys_ = ["ToyGenerator-shade3", "ToyGenerator-shade4", "ToyGenerator-shade3-2"]
    assert said["generators"] == [*toys_, "a-pics", "b-pics"]
    assert load_comparison("comparison.yaml").samples_per_prompt == 1
