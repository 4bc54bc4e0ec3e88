"""The small text encoder: what it reads of a caption, and that each caption is read alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import toys
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers

from gandiff.common.errors import GeneratorError
from gandiff.models.diffusion.networks import (
    build_pipeline,
    build_unet,
    build_vae,
    save_pipeline,
)
from gandiff.models.text import TextEncoder, parameter_count
from gandiff.models.tokenizer import END, START, build_tokenizer
from gandiff.models.weights import PRETRAINED, shipped_names

LONG = " ".join(["star"] * 20)
TOKENIZER = build_tokenizer(toys.PROMPTS * 2, max_tokens=16)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(*toys.build_text())


@pytest.fixture(scope="module")
def saved(encoder: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "encoder"
    encoder.save_pretrained(folder)
    return folder


def test_saved_and_loaded_it_reads_the_same(encoder: TextEncoder, saved: Path) -> None:
    loaded = TextEncoder.from_pretrained(saved)
    texts = [*toys.PROMPTS, LONG, "", "Ünicode ☃ \x00 and\ttabs"]
    assert loaded.tokenizer.get_vocab() == encoder.tokenizer.get_vocab()
    assert torch.equal(loaded.ids(texts), encoder.ids(texts))
    mine, theirs = encoder(texts), loaded(texts)
    assert torch.equal(mine.tokens, theirs.tokens)
    assert torch.equal(mine.pooled, theirs.pooled)
    assert mine.truncated == theirs.truncated
    assert loaded.width == encoder.width == 32


@pytest.mark.parametrize("name", ["saved", "diffusion-scenes"])
def test_the_files_of_transformers_4_hold_the_same_vocabulary(name: str, saved: Path) -> None:
    """Whose CLIP tokenizer knows no tokenizer.json, and asks for a vocabulary and merges."""
    from transformers import CLIPTokenizer

    folder = (saved if name == "saved" else PRETRAINED / name) / "tokenizer"
    whole = CLIPTokenizer.from_pretrained(folder)
    version, *merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert version.startswith("#version")
    parts = CLIPTokenizer(
        vocab=json.loads((folder / "vocab.json").read_text(encoding="utf-8")),
        merges=[tuple(pair.split()) for pair in merges],
        model_max_length=whole.model_max_length,
        pad_token=END,
        unk_token=END,
    )
    texts = [*toys.PROMPTS, LONG, "", "Ünicode ☃ and\ttabs", "it's 42%"]
    assert parts(texts)["input_ids"] == whole(texts)["input_ids"]


def test_features_have_their_shapes(encoder: TextEncoder) -> None:
    features = encoder(["a star", LONG])
    assert features.tokens.shape == (2, 16, 32)
    assert features.pooled.shape == (2, 32)
    assert not features.tokens.requires_grad


def test_ids_start_and_end_with_their_tokens(encoder: TextEncoder) -> None:
    vocab = encoder.tokenizer.get_vocab()
    assert (vocab[START], vocab[END]) == (len(vocab) - 2, len(vocab) - 1)
    for ids in encoder.ids([*toys.PROMPTS, "", LONG]).tolist():
        assert len(ids) == 16
        assert ids[0] == vocab[START]
        end = ids.index(vocab[END])
        assert set(ids[end:]) == {vocab[END]}


def test_a_long_caption_keeps_its_end_token_and_is_counted(encoder: TextEncoder) -> None:
    vocab = encoder.tokenizer.get_vocab()
    (ids,) = encoder.ids([LONG]).tolist()
    # "star" is one token, so fourteen of twenty fit between the two special ones.
    assert ids == [vocab[START], *[vocab["star</w>"]] * 14, vocab[END]]
    exact = " ".join(["star"] * 14)
    assert encoder.truncated([LONG, exact, exact + " star", ""]) == [6, 0, 1, 0]
    assert encoder([LONG]).truncated == [6]


def test_what_is_beyond_the_end_changes_nothing(encoder: TextEncoder) -> None:
    features = encoder([LONG, LONG + " heart ring"])
    assert torch.equal(features.tokens[0], features.tokens[1])


def test_words_are_read_whatever_their_case(encoder: TextEncoder) -> None:
    assert torch.equal(encoder.ids(["A Red STAR"]), encoder.ids(["a red star"]))
    assert not torch.equal(encoder.ids(["a red star"]), encoder.ids(["a red ring"]))


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=12))
def test_any_text_can_be_read(text: str) -> None:
    """No unknown token, which would end the caption early."""
    ids = TOKENIZER(text, truncation=False, verbose=False)["input_ids"]
    assert ids[0] == TOKENIZER.bos_token_id
    assert ids.index(TOKENIZER.eos_token_id) == len(ids) - 1


def test_every_byte_has_a_token_inside_and_at_the_end_of_a_word() -> None:
    letters = pre_tokenizers.ByteLevel.alphabet()
    assert len(letters) == 256
    assert {*letters, *(f"{letter}</w>" for letter in letters)} <= set(TOKENIZER.get_vocab())


def test_the_same_captions_make_the_same_tokenizer() -> None:
    for captions in (toys.PROMPTS * 2, ["a red star left of a blue ring", "a heart on white"] * 2):
        made = {build_tokenizer(captions).backend_tokenizer.to_str() for _ in range(8)}
        assert len(made) == 1


def test_each_caption_is_read_alone(encoder: TextEncoder) -> None:
    texts = [*toys.PROMPTS, LONG]
    together = encoder(texts)
    for i in (0, 3, 8):
        alone = encoder([texts[i]])
        torch.testing.assert_close(alone.tokens[0], together.tokens[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.pooled[0], together.pooled[i], rtol=0, atol=1e-6)
    backwards = encoder(texts[::-1])
    torch.testing.assert_close(backwards.pooled.flip(0), together.pooled, rtol=0, atol=1e-6)


def test_the_caption_is_summed_up_at_its_end_token(encoder: TextEncoder) -> None:
    texts = ["a star", toys.PROMPTS[0], LONG]
    features = encoder(texts)
    for i, ids in enumerate(encoder.ids(texts).tolist()):
        end = ids.index(encoder.tokenizer.eos_token_id)
        assert torch.equal(features.pooled[i], features.tokens[i, end])


def test_weights_are_frozen(encoder: TextEncoder) -> None:
    assert not encoder.model.training
    assert not any(p.requires_grad for p in encoder.model.parameters())
    assert parameter_count(encoder.model) == sum(p.numel() for p in encoder.model.parameters())


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer"])
def test_an_incomplete_folder_is_refused(saved: Path, tmp_path: Path, part: str) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    vocabulary = ("tokenizer.json", "vocab.json", "merges.txt")
    for name in ("config.json",) if part == "text_encoder" else vocabulary:
        (folder / part / name).unlink()
    lacks = "copy has no complete text_encoder/" if part == "text_encoder" else "no vocabulary"
    with pytest.raises(GeneratorError, match=lacks):
        TextEncoder.from_pretrained(folder)


def test_weights_are_saved_under_the_names_that_every_transformers_reads(
    encoder: TextEncoder, saved: Path, tmp_path: Path
) -> None:
    pipe = build_pipeline(
        build_vae(), build_unet(16, 32), encoder, DDIMScheduler(clip_sample=False, steps_offset=1)
    )
    save_pipeline(tmp_path, pipe)
    for folder in (saved, tmp_path, *(PRETRAINED / name for name in shipped_names())):
        names = load_file(folder / "text_encoder" / "model.safetensors")
        assert names
        assert all(name.startswith("text_model.") for name in names)


def test_missing_weights_are_refused_not_drawn_at_random(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "torn")
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    del weights["text_model.final_layer_norm.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(GeneratorError, match=r"torn lack (text_model\.)?final_layer_norm\.weight"):
        TextEncoder.from_pretrained(folder)


def test_moved_to_another_number_format(saved: Path) -> None:
    encoder = TextEncoder.from_pretrained(saved).to("cpu", torch.bfloat16)
    assert encoder(["a star"]).pooled.dtype == torch.bfloat16
