"""Half of a copy or download is refused by name, or makes the images of the whole: never others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toys
from hypothesis import given, settings
from hypothesis import strategies as st

from gandiff.common.errors import GeneratorError
from gandiff.experiments.cli import main
from gandiff.models.diffusion.pipeline import DiffusersGenerator
from gandiff.models.diffusion.settings import DiffusersSettings
from gandiff.models.gan.generator import GanGenerator
from gandiff.models.generator import Generator
from gandiff.models.settings import GanSettings

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"


def pipeline(folder: Path, variant: str | None = None) -> Generator:
    return DiffusersGenerator(
        "toy", DiffusersSettings(pipeline=str(folder), num_inference_steps=1, variant=variant)
    )


def gan(folder: Path) -> Generator:
    return GanGenerator("toy", GanSettings(weights=str(folder)))


def images(generator: Generator) -> np.ndarray:
    generator.load()
    made = [generation.image for generation in generator.generate(toys.requests(2))]
    assert made[0] is not None
    assert made[1] is not None
    return np.stack([made[0], made[1]])


def save_old_pipeline(folder: Path) -> Path:
    """A pipeline whose tokenizer lies in vocab.json and merges.txt, as most published ones do."""
    tokenizer = toys.save_toy_pipeline(folder) / "tokenizer"
    saved = json.loads((tokenizer / "tokenizer.json").read_text())
    (tokenizer / "tokenizer.json").unlink()
    added = {token["content"]: token["id"] for token in saved["added_tokens"]}
    (tokenizer / "vocab.json").write_text(json.dumps({**saved["model"]["vocab"], **added}))
    merges = [" ".join(pair) for pair in saved["model"]["merges"]]
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    return folder


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Generator]]] = {
    "pipeline": (toys.save_toy_pipeline, pipeline),
    "old pipeline": (save_old_pipeline, pipeline),
    "gan": (toys.save_toy_gan, gan),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray]]:
    """A folder of each kind with the images that it makes."""
    root = tmp_path_factory.mktemp("whole")
    folders = {kind: save(root / kind) for kind, (save, _) in KINDS.items()}
    return {kind: (folder, images(KINDS[kind][1](folder))) for kind, folder in folders.items()}


def refusal(kind: str, folder: Path, expected: np.ndarray) -> str | None:
    """Why a folder is refused; None for one that makes the images that are expected."""
    try:
        made = images(KINDS[kind][1](folder))
    except GeneratorError as error:
        return str(error)
    np.testing.assert_array_equal(made, expected)
    return None


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_one_file_that_is_missing_or_torn(
    whole: dict[str, tuple[Path, np.ndarray]], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    folder, expected = whole[kind]
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    kept = data.draw(st.none() | st.just(-1) | st.integers(0, len(content) - 1))
    try:
        file.unlink()
        if kept is not None:
            file.write_bytes(POINTER if kept == -1 else content[:kept])
        refused = refusal(kind, folder, expected)
        if refused is not None:
            assert str(folder) in refused
            assert file.name in refused or file.parent.name in refused.replace(str(folder), "")
    finally:
        file.write_bytes(content)


def test_merges_that_were_cut_at_the_end_of_a_line(tmp_path: Path) -> None:
    merges = save_old_pipeline(tmp_path) / "tokenizer" / "merges.txt"
    merges.write_text("\n".join(merges.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(GeneratorError, match=r"merges\.txt is cut off: none of its lines makes"):
        pipeline(tmp_path)


def empty(part: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        shutil.rmtree(folder / part)
        (folder / part).mkdir()

    return damage


def keep_only(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for file in (folder / name).parent.iterdir():
            if file != folder / name:
                file.unlink()

    return damage


def unfinished(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "diffusion_pytorch_model.safetensors.incomplete")


def shards_without_list(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors")


def edit(name: str, **changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    return damage


def longer_vocabulary(folder: Path) -> None:
    from gandiff.models.tokenizer import build_tokenizer

    build_tokenizer([*toys.PROMPTS * 2, "quite other words " * 3], 16).save_pretrained(
        folder / "tokenizer"
    )


def wider_text_encoder(folder: Path) -> None:
    from gandiff.models.text import build_text_encoder

    _, tokenizer = toys.build_text()
    build_text_encoder(tokenizer, width=64, layers=1, heads=2).save_pretrained(
        folder / "text_encoder"
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (keep_only("tokenizer/tokenizer_config.json"), "tokenizer has no vocabulary"),
        (empty("tokenizer"), "tokenizer has no files"),
        (empty("scheduler"), "scheduler has no files"),
        (empty("vae"), "vae has no files"),
        (empty("text_encoder"), "text_encoder has no files"),
        (keep_only("vae/config.json"), "vae has no weights"),
        (unfinished, "but diffusion_pytorch_model.safetensors.incomplete, a download that was not"),
        (shards_without_list, "no .safetensors.index.json that lists the shards"),
        (lambda f: (f / "scheduler" / "scheduler_config.json").write_text("{}"), "no _class_name"),
        (edit("tokenizer/tokenizer_config.json", model_max_length=77), "at most 16"),
        (longer_vocabulary, "where the text encoder has"),
        (wider_text_encoder, "reads text features of width 32, and its text encoder gives 64"),
    ],
)
def test_parts_that_are_incomplete_or_do_not_fit(
    damage: Callable[[Path], object], said: str, toy_pipeline_copy: Path
) -> None:
    damage(toy_pipeline_copy)
    with pytest.raises(GeneratorError) as refused:
        pipeline(toy_pipeline_copy).load()
    assert said in str(refused.value)
    assert str(toy_pipeline_copy) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_of_a_variant_alone_name_it(toy_pipeline_copy: Path) -> None:
    expected = images(pipeline(toy_pipeline_copy))
    for weights in toy_pipeline_copy.rglob("*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    with pytest.raises(GeneratorError, match=r"of the variant 'fp16' alone .*set variant: fp16"):
        pipeline(toy_pipeline_copy)
    np.testing.assert_array_equal(images(pipeline(toy_pipeline_copy, "fp16")), expected)


def test_a_torn_file_of_a_variant_that_is_not_read_does_not_matter(
    toy_pipeline_copy: Path,
) -> None:
    expected = images(pipeline(toy_pipeline_copy))
    torn = toy_pipeline_copy / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    torn.write_bytes(b"half")
    np.testing.assert_array_equal(images(pipeline(toy_pipeline_copy)), expected)
    with pytest.raises(GeneratorError, match=r"fp16\.safetensors cannot be read"):
        pipeline(toy_pipeline_copy, "fp16")


def test_a_run_refuses_before_it_writes(
    toy_pipeline_copy: Path, empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_only("tokenizer/tokenizer_config.json")(toy_pipeline_copy)
    (empty_folder / "prompts.txt").write_text("a star\na ring\n")
    (empty_folder / "c.yaml").write_text(
        "suite: prompts.txt\nmetrics: []\n"
        f"generators: {{sd: {{type: diffusers, pipeline: '{toy_pipeline_copy}'}}}}\n"
    )
    assert main(["run", "c.yaml", "--out", "run"]) == 2
    assert "tokenizer has no vocabulary" in capsys.readouterr().err
    assert not (empty_folder / "run").exists()
