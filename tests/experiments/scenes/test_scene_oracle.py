"""The generator that cannot be beaten, and what is written about shipped ones beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gandiff.common.errors import GeneratorError, RequestError
from gandiff.experiments.api import run_comparison
from gandiff.experiments.benchmarks import shipped_scores as shipped
from gandiff.experiments.cli import main
from gandiff.experiments.config.load import comparison_from_dict
from gandiff.experiments.plugins.registry import make_generator
from gandiff.experiments.scenes.oracle import reconstruct, sample
from gandiff.experiments.scenes.suite import scene_suite
from gandiff.models.weights import PRETRAINED
from gandiff.reports.reading import load_run


def test_a_picture_depends_on_prompt_and_seed_alone() -> None:
    texts = [one["text"] for one in scene_suite("test", 3)]
    together = sample(texts, [5, 6, 7], known=3)
    assert [image.shape for image in together] == [(32, 32, 3)] * 3
    assert (sample(texts[2:], [7], known=3)[0] == together[2]).all()
    assert (sample(texts[2:], [8], known=3)[0] != together[2]).any()
    assert sample(texts[:1], [5], known=3, resolution=64)[0].shape == (64, 64, 3)


def test_other_prompts_are_refused() -> None:
    with pytest.raises(LookupError, match="'a cat' is not among the first 3 prompts"):
        sample(["a cat"], [0], known=3)


def test_reconstructions_are_near_their_scenes_and_depend_on_nothing_else() -> None:
    texts = [one["text"] for one in scene_suite("test", 12)]
    seeds = list(range(12))
    reconstructed = reconstruct(known=12)
    scenes, again = sample(texts, seeds, known=12), reconstructed(texts, seeds)
    assert (reconstructed(texts[5:6], seeds[5:6])[0] == again[5]).all()
    error = np.square((np.stack(again).astype(float) - np.stack(scenes)) / 255).mean((1, 2, 3))
    other = np.square((np.stack(scenes[::-1]).astype(float) - np.stack(scenes)) / 255).mean()
    assert error.min() > 0  # the latents are smaller than the picture
    assert error.mean() < 0.05 * other


def test_what_has_no_autoencoder_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"vae": ["gandiff", "Pixels"]}')
    for folder in (tmp_path, PRETRAINED / "gan-scenes"):
        with pytest.raises(GeneratorError, match="with an AutoencoderKL as its vae, got"):
            reconstruct(str(folder))
    settings = {"pipeline": "diffusion-scene"}
    with pytest.raises(RequestError, match=r"'ceiling' cannot be built.*diffusion-scenes"):
        make_generator("ceiling", "gandiff.experiments.scenes.oracle:reconstruct", settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped GAN beside the oracle, on few prompts."""
    out = tmp_path_factory.mktemp("oracle") / "run"
    asked = {
        "name": "oracle",
        "suite": {"name": "scenes", "split": "test", "prompts": 100},
        "samples_per_prompt": 2,
        "batch_size": 60,
        "generators": {
            "oracle": {"type": "gandiff.experiments.scenes.oracle:sample"},
            "gan": {"type": "gan", "weights": "gan-scenes"},
            "ceiling": {"type": "gandiff.experiments.scenes.oracle:reconstruct"},
        },
        "reference": {"type": "scenes", "images": 200},
        "metrics": ["scene_accuracy", "unstated", "fd(encoder=scenes)"],
        "timing": {"warmup": 0, "repeats": 1, "rounds": 1, "batch_sizes": [1]},
    }
    run_comparison(comparison_from_dict(asked), out, quiet=True)
    return out


def test_models_come_before_yardsticks_in_the_verdict(run: Path) -> None:
    assert load_run(run).headline == ("gan", "oracle")


def test_reports_say_what_it_is_and_those_of_older_runs_do_too(run: Path, tmp_path: Path) -> None:
    said = [
        "oracle is a yardstick, not a model: real scenes of the captions, what a perfect model "
        "would get. The best is chosen among the others.",
        "ceiling is a yardstick, not a model: real scenes through the autoencoder of "
        "diffusion-scenes, the best that any denoiser in it can do. The best is chosen among the "
        "others.",
    ]
    older = shutil.copytree(run, tmp_path / "older")
    record = json.loads((older / "run.json").read_text())
    for facts in record["generators"].values():
        del facts["yardstick"]
    (older / "run.json").write_text(json.dumps(record))
    assert load_run(older).yardsticks == []
    assert main(["report", str(older)]) == 0
    for folder in (run, older):
        assert load_run(folder).yardsticks == said
        for name in ("report.html", "report.md"):
            text = (folder / "report" / name).read_text(encoding="utf-8")
            assert all(one in text for one in said)


def test_it_is_right_and_varied_and_told_beside_a_model(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PRETRAINED / "gan-scenes", tmp_path / "gan-scenes")
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    (path,) = shipped.write_scores(run)
    data = json.loads(path.read_text())
    ours, perfect = data["generators"]["gan"]["metrics"], data["perfect"]
    assert perfect["scene_accuracy/all"]["value"] > 0.98
    assert perfect["unstated/coverage"]["value"] == pytest.approx(1.0, abs=0.2)
    assert perfect["scene_accuracy/all"]["value"] > ours["scene_accuracy/all"]["value"]
    assert perfect["fd(encoder=scenes)"]["value"] > 0
    assert "latency_seconds" not in perfect
    printed = shipped.table_of(path)
    assert "gan-scenes: gan" in printed
    assert "scene_accuracy/all" in printed
