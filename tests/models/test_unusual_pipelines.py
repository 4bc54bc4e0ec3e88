"""What single classes of pipelines do otherwise than the rest, seen on their toys."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from families.measure import loaded
from families.plain import Plain

from gandiff.common.errors import GandiffError
from gandiff.experiments.plugins.registry import make_generator
from gandiff.models.diffusion.class_source import missing_packages

Toys = Callable[[str], dict[str, Any]]


def drawn(settings: dict[str, Any], count: int = 2) -> np.ndarray:
    """Levels of images that are asked for together."""
    made = loaded(settings).generate(toys.requests(count))
    assert [g.status for g in made] == ["ok"] * count, made[0].reason
    return np.stack([g.image for g in made if g.image is not None]).astype(int)


def plainly(settings: dict[str, Any], **arguments: Any) -> np.ndarray:
    """The same by plain diffusers, one call an image."""
    asked = toys.requests(2)
    texts, seeds = [r.prompt for r in asked], [r.seed for r in asked]
    return Plain(settings).draw(texts, seeds, together=False, **arguments)


@pytest.mark.parametrize("name", ["amused", "dreamlite", "vq-diffusion"])
def test_classes_that_take_one_prompt_or_generator_get_one(toy_family: Toys, name: str) -> None:
    """Also where nobody has tried out whether images can be made together."""
    steps = {"num_inference_steps": 2}
    settings = toy_family(name)
    np.testing.assert_array_equal(drawn({**settings, **steps}), plainly(settings, **steps))
    remarks = loaded({**settings, **steps}).info.remarks
    assert any("in a call of its own" in remark for remark in remarks)


def test_what_is_transparent_is_laid_over_white(toy_family: Toys) -> None:
    settings = {**toy_family("qwen-image-2.1"), "num_inference_steps": 2}
    generator = loaded(settings)
    request = toys.requests(1)[0]
    image = generator.generate([request])[0].image
    assert image is not None
    assert image.shape == (32, 32, 3)
    np.testing.assert_array_equal(generator.trace(request, (1.0,))[-1].noisy, image)


def with_index(folder: Path, target: Path, **changes: Any) -> str:
    """A copy of a pipeline whose index says something else."""
    shutil.copytree(folder, target)
    index = json.loads((target / "model_index.json").read_text())
    (target / "model_index.json").write_text(json.dumps({**index, **changes}))
    return str(target)


def test_noise_levels_in_the_index_say_the_steps(toy_family: Toys, tmp_path: Path) -> None:
    own = toy_family("qwen-image-2.1")
    levels = [1.0, 0.7, 0.4]
    path = with_index(Path(own["pipeline"]), tmp_path / "pipeline", sample_sigmas=levels)
    settings = {**own, "pipeline": path}
    generator = loaded(settings)
    assert generator.info.settings["num_inference_steps"] == 3
    assert generator.generate(toys.requests(1))[0].nfe == 3
    assert not generator.info.off_native
    with pytest.raises(GandiffError, match=r"sample_sigmas.*num_inference_steps is 40"):
        make_generator("toy", "diffusers", {**settings, "num_inference_steps": 40})
    other = {**settings, "extra": {"sigmas": [1.0, 0.5]}}
    assert loaded(other).generate(toys.requests(1))[0].nfe == 2


def test_a_size_is_drawn_at_that_size(toy_family: Toys) -> None:
    """FLUX.1 Kontext draws every size at the area that it was made for, unless it is given one."""
    settings = {**toy_family("kontext"), "height": 32, "width": 64, "num_inference_steps": 1}
    assert drawn(settings).shape == (2, 32, 64, 3)


def test_a_combined_pipeline_keeps_the_settings_of_its_halves(toy_family: Toys) -> None:
    """Those of the toy are not the defaults of its classes: prior and decoder are called apart."""
    import torch

    settings = toy_family("wuerstchen")
    few = {"num_inference_steps": 2, "extra": {"prior_num_inference_steps": 3}}
    apart = Plain({"stages": [settings["prior"], settings["pipeline"]]}).pipes
    request = toys.requests(1)[0]
    noise = torch.Generator().manual_seed(request.seed)
    shared = {"prompt": request.prompt, "generator": noise}
    embeddings = apart[0](height=128, width=128, num_inference_steps=3, **shared).image_embeddings
    image = apart[1](
        image_embeddings=embeddings, num_inference_steps=2, output_type="np", **shared
    ).images[0]
    expected = np.rint(image * 255).astype(int)
    assert np.abs(drawn({**settings, **few}, 1)[0] - expected).max() <= 1  # sums in another order


def test_a_package_that_a_class_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else real(name)
    )
    missing_packages.cache_clear()
    (tmp_path / "model_index.json").write_text('{"_class_name": "KolorsPipeline"}')
    with pytest.raises(GandiffError, match="pip install sentencepiece"):
        make_generator("toy", "diffusers", {"pipeline": str(tmp_path)})
    missing_packages.cache_clear()


def test_tokens_are_no_picture_on_their_way(toy_family: Toys) -> None:
    generator = loaded({**toy_family("amused"), "num_inference_steps": 2})
    with pytest.raises(NotImplementedError, match="tokens"):
        generator.trace(toys.requests(1)[0], (0.5,))


def test_a_pipeline_that_looks_into_its_network_is_traced(toy_family: Toys) -> None:
    """Self-attention guidance asks for the attention of a call, which has to be made again."""
    generator = loaded({**toy_family("sag"), "num_inference_steps": 2})
    request = toys.requests(1)[0]
    frames = generator.trace(request, (0.0, 1.0))
    np.testing.assert_array_equal(frames[-1].noisy, generator.generate([request])[0].image)
