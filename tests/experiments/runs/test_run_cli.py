"""The run command from end to end, killed and repeated; and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from run_helpers import TOY, images, log_lines, record, write_comparison
from safetensors.torch import load_file

from gandiff.experiments.cli import main
from gandiff.experiments.config.load import load_comparison

ROOT = Path(__file__).parents[3]
SCENES = ROOT / "experiments" / "comparisons" / "scenes.yaml"
GANDIFF = Path(sys.executable).parent / "gandiff"
UNET = Path("unet", "diffusion_pytorch_model.safetensors")


def two_generators() -> str:
    """The GAN and one diffusion model of the default comparison, the latter with fewer steps."""
    configured = load_comparison(SCENES).generators
    chosen = {
        name: {"type": configured[name].type, **configured[name].settings}
        for name in ("gan", "ddim-20")
    }
    chosen["ddim-20"] |= {"num_inference_steps": 4, "native": {"num_inference_steps": 4}}
    return json.dumps(chosen)


def command(out: Path, *more: str) -> list[str]:
    """The default comparison made small: 3 prompts x 4 samples in batches of 2."""
    small = {
        "generators": two_generators(),
        "batch_size": "2",
        "reference.images": "50",
        # Those of the file that 12 images are enough for.
        "metrics": '[scene_accuracy, "fd(encoder=scenes)", "diversity(encoder=scenes)"]',
        "timing": '{"warmup": 0, "repeats": 1, "batch_sizes": [1]}',
    }
    changes = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    return ["run", str(SCENES), "--limit", "3", "--out", str(out), *changes, *more]


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start the installed program as a shell would."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(GANDIFF), *arguments], cwd=folder, text=True, **pipes)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, problems = process.communicate(timeout=250)
    assert process.returncode == 0, problems
    return out, problems


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The run folder of an undisturbed run, and what was printed on both streams."""
    folder = tmp_path_factory.mktemp("cli")
    return folder / "run", *finish(start(command(folder / "run"), folder))


def test_a_run_ends_with_its_verdict(finished: tuple[Path, str, str]) -> None:
    folder, out, progress = finished
    lines = out.splitlines()
    assert lines[:3] == ["run: run (images: 24 ok)", "report: run/report/report.html", ""]
    verdict = lines[3:]
    assert 3 <= len(verdict) <= 6
    assert all("gan" in sentence and "ddim-20" in sentence for sentence in verdict)
    assert (folder / "report" / "report.html").is_file()
    for stage in ("images:", "traces:", "timing:"):
        assert stage in progress
        assert stage not in lines[1:]
    facts = record(folder)
    assert (facts["status"], facts["warnings"]) == ("done", [])
    assert facts["headline"] == ["gan", "ddim-20"]
    assert len(images(folder)) == 24


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The files of a run but its record and lock: when each was written and what it holds."""
    ours = ("run.json", "prompts.jsonl", "comparison.yaml", ".lock", ".lock-holder")
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ours
    }


def test_the_same_command_again_reuses_everything(
    finished: tuple[Path, str, str],
) -> None:
    folder, out, _ = finished
    before = everything(folder)
    begun = time.monotonic()
    again, progress = finish(start(command(folder), folder.parent))
    assert time.monotonic() - begun < 20
    assert again == out
    assert progress == ""
    assert everything(folder) == before


def test_json_and_quiet(
    finished: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, _ = finished
    assert main(command(folder, "--json", "--quiet")) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    summary = json.loads(shown.out)
    assert summary["verdict"] == out.splitlines()[3:]
    assert summary["report"] == str(folder / "report" / "report.html")
    assert summary["images"] == {"ok": 24}


def test_killed_twice_and_started_again(
    finished: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log = tmp_path / "run", tmp_path / "run" / "images.jsonl"
    arguments = command(folder, "--stop-after", "generate")
    for lines in (3, 14):  # in the middle of the GAN's images and of the diffusion model's
        process = start(arguments, tmp_path)
        while process.poll() is None:
            if log.exists() and log.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert record(folder)["status"] == "running"
        assert log.read_bytes().count(b"\n") < 24
    assert main(arguments) == 0
    assert "(images: 24 ok)" in capsys.readouterr().out
    assert images(folder) == images(finished[0])
    keys = [line["key"] for line in log_lines(folder)]
    assert len(keys) == len(set(keys)) == 24
    assert {line["key"] for line in log_lines(finished[0])} == set(keys)
    assert record(folder)["status"] == "done"


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / UNET), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def without_text(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for part in ("tokenizer", "text_encoder"):
        del index[part]
    index["_class_name"] = "DDPMPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))


def pipeline(where: str, **settings: Any) -> dict[str, Any]:
    return {"generators": {"sd": {"type": "diffusers", "pipeline": where, **settings}}}


def toy(**settings: Any) -> dict[str, Any]:
    return {"generators": {"toy": {"type": TOY, **settings}}}


# What is changed in a good comparison, and what is said about it.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "generator": ({"generators": {"g": {"type": "gna"}}}, "did you mean 'gan'"),
    "setting": (toy(shad=1), "c.yaml:8: generators.toy.shad: unknown field; did you mean"),
    "metric": ({"metrics": ["scene_acuracy"]}, "did you mean 'scene_accuracy'"),
    "metric's parameter": ({"metrics": ["vendi(encodr=scenes)"]}, "did you mean 'encoder'"),
    "encoder": ({"metrics": ["vendi(encoder=scense)"]}, "did you mean 'scenes'"),
    "suite": ({"suite": "scense"}, "did you mean 'scenes'"),
    "prompts that are not there": ({"suite": "prompt.txt"}, "did you mean 'prompts.txt'"),
    "shape": ({"timing": [3]}, "timing: must be a mapping of names to values, got a list"),
    "no prompts": ({"suite": "empty.txt"}, "empty.txt has no prompts"),
    "doubled id": ({"suite": "doubled.csv"}, "prompt id 'x' is given twice"),
    "id that leaves": ({"suite": "leaving.csv"}, "the prompt id '../x' (prompt 1) cannot be"),
    "weights of a GAN": (
        {"generators": {"g": {"type": "gan", "weights": "gan-scene"}}},
        "did you mean 'gan-scenes'",
    ),
    "empty weights": (
        {"generators": {"g": {"type": "gan", "weights": "photos"}}},
        "photos has no config.json",
    ),
    "hub": (
        pipeline("nobody/nothing-at-all"),
        "cannot get model_index.json of the hub pipeline 'nobody/nothing-at-all': it is not in the "
        "local cache",
    ),
    "pickle": (pipeline("pickled"), "is a pickle file, and reading one can run any code"),
    "no text": (pipeline("no-text"), "holds a DDPMPipeline, which has no text encoder"),
    "empty images": (
        {"generators": {"f": {"type": "folder", "folder": "photos"}}},
        "photos",
    ),
    "no images": (
        {
            "generators": {
                "f": {"type": "folder", "folder": "photo", "pattern": "{prompt_id}_{sample}.png"}
            }
        },
        "generators.f.folder: there is no folder",
    ),
    "no module": (toy() | {"generators": {"g": {"type": "nowhere:build"}}}, "No module named"),
}


@pytest.fixture
def workplace(empty_folder: Path, toy_pipeline: Path) -> Path:
    """A folder with everything that the bad comparisons name."""
    import shutil

    for name, damage in (("pickled", pickled), ("no-text", without_text)):
        shutil.copytree(toy_pipeline, empty_folder / name)
        damage(empty_folder / name)
    (empty_folder / "photos").mkdir()
    (empty_folder / "empty.txt").write_text("\n\n")
    (empty_folder / "doubled.csv").write_text("id,text\nx,a dog\nx,a cat\n")
    (empty_folder / "leaving.csv").write_text("id,text\n../x,a dog\n")
    return empty_folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Type a command that is refused: exit code 2, one line, nothing written; returns the line."""
    before = files(folder)
    capsys.readouterr()
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert shown.err.endswith("\n")
    assert files(folder) == before
    assert not (folder / "runs").exists()
    return shown.err


@pytest.mark.parametrize("case", BAD)
def test_a_bad_comparison_is_one_line_and_writes_nothing(
    case: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, says = BAD[case]
    file = write_comparison(workplace, 2, "c", **{**toy(), **changes})
    assert says in refused(["run", str(file)], workplace, capsys)


def test_a_pickle_is_read_when_it_is_allowed(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(workplace, 1, "c", **pipeline("pickled", num_inference_steps=2))
    arguments = ["run", str(file), "--stop-after", "generate", "--quiet"]
    assert "--allow-pickle" in refused(arguments, workplace, capsys)
    assert main([*arguments, "--allow-pickle"]) == 0
    assert record(workplace / "runs" / "c")["counts"]["sd"]["ok"] == 2


def test_the_folder_of_another_comparison_is_left_alone(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_comparison(empty_folder, 2, "c", **toy())
    out = ["--out", "mine", "--stop-after", "generate", "--quiet"]
    assert main(["run", str(file), *out]) == 0
    other = refused(["run", str(file), *out, "--set", "seed=7"], empty_folder, capsys)
    assert "mine holds another comparison: seed is 0 there and 7 here" in other
    photos = toys.save_toy_images(empty_folder / "photos", ["a.png"])
    foreign = refused(["run", str(file), "--out", str(photos)], empty_folder, capsys)
    assert "holds 'a.png' but no run.json, so it is not a run folder" in foreign


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("score none --reference many --metrics fd(encoder=scenes)", "none holds no image files"),
        ("score one --reference many --metrics fd(encoder=scenes)", "2 images"),
        ("score many --reference one --metrics kid(encoder=scenes)", "2 reference"),
        (
            "score torn --reference many --metrics fd(encoder=scenes)",
            "not an image of a known format",
        ),
        ("score many --reference nowhere --metrics fd(encoder=scenes)", "no folder nowhere"),
        ("score many --metrics fd(encoder=scenes)", "give --reference FOLDER"),
        ("score many --metrics clip_score(model=scenes)", "needs prompts"),
        ("score many --metrics vendi --weights scenes=nowhere", "no weights for the encoder"),
        ("score many --metrics vendi --weights scens=many", "did you mean 'scenes'"),
        ("score many --metrics ,", "no metric is named"),
        ("score many --metrics mine:Bright", "named by its entry point in an installed package"),
    ],
)
def test_bad_folders_are_one_line_and_write_nothing(
    line: str, says: str, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.save_toy_images(empty_folder, ["one/a.png", "many/a.png", "many/b.png", "many/c.png"])
    (empty_folder / "none").mkdir()
    for name in ("a", "b"):
        (empty_folder / "torn").mkdir(exist_ok=True)
        (empty_folder / "torn" / f"{name}.png").write_bytes(b"\x89PNG torn")
    assert says in refused([*line.split(), "--quiet"], empty_folder, capsys)
