"""Encoders on an accelerator give the features of the processor."""

from pathlib import Path

import numpy as np
import pytest
import toys

from gandiff.evaluate.features.encoders import open_extractor

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("compile", [False, True])
def test_inception_is_the_same_on_cuda(compile: bool, tmp_path: Path) -> None:
    weights = {"inception": str(toys.save_toy_inception(tmp_path / "inception.pth"))}
    images = [np.asarray(toys.toy_image(i, (80, 64))) for i in range(40)]
    here = open_extractor("inception", weights, "cpu").features(images)
    there = open_extractor("inception", weights, "cuda", compile=compile).features(images)
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["scenes", "scenes_b", "clip:scenes"])
def test_shipped_encoders_are_the_same_on_cuda(name: str) -> None:
    images = [np.asarray(toys.toy_image(i)) for i in range(9)]
    here = open_extractor(name, {}, "cpu").features(images)
    there = open_extractor(name, {}, "cuda").features(images)
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)
