"""The shipped generators and judges against what their cards say."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from gandiff.experiments.api import run_comparison
from gandiff.experiments.config.load import comparison_from_dict, load_comparison
from gandiff.experiments.config.types import comparison_to_dict
from gandiff.experiments.training.cards import with_scores, with_settings
from gandiff.experiments.training.records import read_record
from gandiff.models.weights import PRETRAINED, combined_sha256

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("gan-scenes", "diffusion-scenes")
PROMPTS = 200


def scores(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((PRETRAINED / name / "scores.json").read_text())
    return data


@pytest.mark.parametrize("name", SHIPPED)
def test_scores_are_of_these_weights(name: str) -> None:
    for entry in scores(name)["generators"].values():
        assert entry["weights_sha256"] == combined_sha256(PRETRAINED / name)


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_show_these_scores(name: str) -> None:
    card = (PRETRAINED / name / "README.md").read_text(encoding="utf-8")
    assert with_scores(card, scores(name)) == card


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_show_what_the_trainings_measured(name: str) -> None:
    """Ceiling, copies, truncation or steps and guidance, as the record has them now."""
    card = (PRETRAINED / name / "README.md").read_text(encoding="utf-8")
    assert with_settings(card, read_record(PRETRAINED / name / "training.json")) == card
    assert re.search(
        r"^## (Truncation|Steps and guidance), on [\d,]+ pictures$", card, re.MULTILINE
    )
    assert "\n## Copies\n" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_real_scenes_are_nearer_to_real_scenes(name: str) -> None:
    perfect = scores(name)["perfect"]
    for entry in scores(name)["generators"].values():
        for metric in ("fd(encoder=scenes)", "kid(encoder=scenes)"):
            assert 0 < perfect[metric]["value"] < entry["metrics"][metric]["value"]


@pytest.mark.parametrize("name", SHIPPED)
def test_neither_judge_is_the_harsher_one(name: str) -> None:
    """They differ on few good pictures and on a tenth of weak ones, but not in one direction."""
    for entry in scores(name)["generators"].values():
        metrics = entry["metrics"]
        a = metrics["scene_accuracy/all"]["value"]
        b = metrics["scene_accuracy(judge=b)/all"]["value"]
        apart = 1 - metrics["scene_accuracy/agreement"]["value"]
        assert abs(a - b) <= max(0.02, apart / 3)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("gan-scenes", 4_000_000), ("diffusion-scenes", 8_000_000)],
)
def test_weights_are_small(name: str, limit: int) -> None:
    assert sum(f.stat().st_size for f in (PRETRAINED / name).rglob("*.safetensors")) <= limit


def test_judges_are_small() -> None:
    folder = ROOT / "evaluate" / "pretrained"
    assert sum(f.stat().st_size for f in folder.rglob("*.safetensors")) <= 4_000_000


@pytest.mark.parametrize(
    ("name", "generator"), [("gan-scenes", "gan"), ("diffusion-scenes", "ddim-20")]
)
def test_scores_hold_on_a_subset(name: str, generator: str, tmp_path: Path) -> None:
    entry = scores(name)["generators"][generator]
    published = load_comparison(ROOT / "experiments" / "comparisons" / "shipped.yaml")
    used = comparison_to_dict(published)["generators"][generator]
    comparison = comparison_from_dict(
        {
            "name": "subset",
            "suite": {"name": "scenes", "split": "test", "prompts": PROMPTS},
            "samples_per_prompt": 1,
            "batch_size": 25,
            "generators": {generator: used},
            "metrics": ["scene_accuracy"],
            "timing": "off",
        }
    )
    table = run_comparison(comparison, tmp_path / "run", until="score", quiet=True).to_frame()
    rows = table[table["metric"].str.startswith("scene_accuracy/")].set_index("metric")
    checked = 0
    for metric, row in entry["metrics"].items():
        if metric not in rows.index or metric.endswith("held_out_all"):
            continue
        p, n = row["value"], PROMPTS / 4  # a fact is stated in a quarter of the prompts or more
        # Four standard errors of a share: a wrong number shows, chance does not.
        allowed = 4 * math.sqrt(max(p * (1 - p), 0.01) / n)
        assert rows.loc[metric, "value"] == pytest.approx(p, abs=allowed), metric
        checked += 1
    assert checked >= 6
