"""Golden values: they hold here, and a library that changes one is found out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gandiff.experiments.cli import main
from gandiff.experiments.doctor import golden
from gandiff.experiments.doctor.golden import Golden, compare_golden


def wrong() -> list[str]:
    return [found.name for found in compare_golden() if not found.same]


def only(monkeypatch: pytest.MonkeyPatch, *makers: str) -> None:
    monkeypatch.setattr(golden, "_MAKERS", tuple(getattr(golden, maker) for maker in makers))


def test_everything_is_as_recorded() -> None:
    found = compare_golden()
    assert [(one.name, one.detail) for one in found if not one.same] == []
    assert {"fd of Gaussians", "rounding to uint8", "resize clean", "features inception"} <= {
        one.name for one in found
    }
    recorded = json.loads(golden.VALUES.read_text())
    assert set(recorded) <= {one.name for one in found}


def test_truncation_to_uint8_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "_rounding")
    assert wrong() == []
    monkeypatch.setattr(
        "gandiff.models.pixels.to_uint8", lambda x: np.clip(x * 255, 0, 255).astype(np.uint8)
    )
    assert wrong() == ["rounding to uint8"]


def test_another_filter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # What torchmetrics 1.8 did: antialiasing became the default.
    from gandiff.evaluate.extractors import resizing

    only(monkeypatch, "_resizing")
    monkeypatch.setitem(
        resizing._RESIZERS, "legacy_pytorch", resizing._RESIZERS["torchmetrics_antialias"]
    )
    assert wrong() == ["resize legacy_pytorch"]


def test_a_lost_end_token_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # What torchmetrics' CLIP score does: every long prompt has one embedding (#2883).
    from gandiff.evaluate.extractors.clip import Clip

    whole = Clip.texts

    def all_alike(self: Clip, prompts: list[str]) -> object:
        found = whole(self, prompts)
        found.features[1:] = found.features[1]
        return found

    only(monkeypatch, "_token_truncation")
    assert wrong() == []
    monkeypatch.setattr(Clip, "texts", all_alike)
    assert "prompts truncated" in wrong()


def test_changed_features_and_nan_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = {"x": [1.0, 2.0]}

    def same(*values: float) -> bool:
        return golden._compare(Golden(name="x", values=values, tolerance=1e-4), recorded).same

    assert same(1.0, 2.0001)
    assert not same(1.0, 2.001)
    assert not same(1.0, float("nan"))
    assert not same(1.0)


def test_what_cannot_be_computed_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def _old_library() -> list[Golden]:
        raise AttributeError("module 'torch' has no attribute 'compile'")

    monkeypatch.setattr(golden, "_MAKERS", (_old_library,))
    (found,) = compare_golden()
    assert (found.name, found.same) == ("old library", False)
    assert "AttributeError: module 'torch' has no attribute" in found.detail


def test_the_doctor_fails_when_a_value_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only(monkeypatch, "_frechet_distance", "_kernel_distances")
    assert main(["doctor"]) == 0
    capsys.readouterr()
    values = json.loads(golden.VALUES.read_text())
    values["kid"][0] += 1e-3
    monkeypatch.setattr(golden, "VALUES", tmp_path / "golden.json")
    golden.VALUES.write_text(json.dumps(values))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert any(line.split()[:2] == ["WRONG", "kid"] for line in shown.out.splitlines())
    assert "error: 1 golden values are not as recorded (kid)" in shown.err
