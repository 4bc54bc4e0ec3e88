"""Text encoders of others: CLIP and T5 by folder, pooled and by token; captions kept by caption."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import toys

from gandiff.common.errors import GeneratorError
from gandiff.experiments.training.text.train import CaptionCache
from gandiff.models.text import LONGEST, TextEncoder

CAPTIONS = ["a red star", "a blue ring on a white background", "a heart"]


def t5_tokenizer(folder: Path) -> Any:
    """A unigram tokenizer in T5's own format, learned from a few captions."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    learner.train_from_iterator(toys.PROMPTS * 20, trainer)
    learner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=learner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    made.save_pretrained(folder)
    return made


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small T5 encoder with random weights, saved as a hub repository is laid out."""
    from transformers import T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("t5") / "small-t5"
    tokenizer = t5_tokenizer(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3
    )
    T5EncoderModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP text model and its tokenizer in one folder, as the hub has them."""
    folder = tmp_path_factory.mktemp("clip") / "small-clip"
    model, tokenizer = toys.build_text()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["clip", "t5"])
def encoder(request: pytest.FixtureRequest, clip_folder: Path, t5_folder: Path) -> TextEncoder:
    return TextEncoder.from_source(str(clip_folder if request.param == "clip" else t5_folder))


def test_features_have_their_shapes(encoder: TextEncoder) -> None:
    found = encoder(CAPTIONS)
    assert found.pooled.shape == (3, encoder.width)
    assert found.tokens.shape[::2] == (3, encoder.width)
    assert found.mask.shape == found.tokens.shape[:2]
    assert found.mask.any(1).all()
    assert found.truncated == [0, 0, 0]


def test_a_caption_does_not_depend_on_its_neighbours(encoder: TextEncoder) -> None:
    together = encoder(CAPTIONS)
    for i, caption in enumerate(CAPTIONS):
        alone = encoder([caption])
        torch.testing.assert_close(alone.pooled[0], together.pooled[i], rtol=1e-4, atol=1e-5)


def test_padding_to_the_longest_gives_the_same(encoder: TextEncoder) -> None:
    full, short = encoder(CAPTIONS), encoder.encode(CAPTIONS)
    length = short.tokens.shape[1]
    assert length < full.tokens.shape[1]
    assert torch.equal(short.mask, full.mask[:, :length])
    torch.testing.assert_close(short.pooled, full.pooled, rtol=1e-4, atol=1e-5)
    read = short.mask[:, :, None]
    torch.testing.assert_close(
        short.tokens * read, full.tokens[:, :length] * read, rtol=1e-4, atol=1e-5
    )


def test_long_captions_keep_the_end_token_and_are_counted(encoder: TextEncoder) -> None:
    limit = encoder.tokenizer.model_max_length
    assert limit <= LONGEST
    found = encoder(["star " * (2 * limit), "a star"])
    assert found.truncated[0] > 0
    assert found.truncated[1] == 0
    ids = encoder.ids(["star " * (2 * limit)])
    assert ids[0, -1].item() == encoder.tokenizer.eos_token_id


def test_it_comes_back_from_a_trained_folder(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    for again in (TextEncoder.from_pretrained(tmp_path), TextEncoder.from_source(str(tmp_path))):
        torch.testing.assert_close(again(CAPTIONS).pooled, encoder(CAPTIONS).pooled)


def test_other_models_are_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20)).save_pretrained(tmp_path)
    with pytest.raises(GeneratorError, match=r"is a gpt2 model; a text encoder must be CLIP or T5"):
        TextEncoder.from_source(str(tmp_path))
    with pytest.raises(GeneratorError, match=r"the text encoder or tokenizer in .* cannot be read"):
        TextEncoder.from_source(str(tmp_path / "nothing"))


def test_half_precision_is_read_as_single(
    clip_folder: Path, t5_folder: Path, tmp_path: Path
) -> None:
    for folder in (clip_folder, t5_folder):
        half = TextEncoder.from_source(str(folder))
        half.model.half().save_pretrained(tmp_path / folder.name)
        half.tokenizer.save_pretrained(tmp_path / folder.name)
        found = TextEncoder.from_source(str(tmp_path / folder.name))
        assert {weight.dtype for weight in found.model.parameters()} == {torch.float32}
        whole = TextEncoder.from_source(str(folder))
        torch.testing.assert_close(
            found(CAPTIONS).pooled, whole(CAPTIONS).pooled, rtol=1e-2, atol=1e-2
        )


def test_packages_that_a_sentencepiece_model_needs_are_named(
    t5_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder, ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    (folder / "spiece.model").write_bytes(b"read by sentencepiece alone")
    monkeypatch.setattr(transformers.utils, "is_sentencepiece_available", lambda: False)
    with pytest.raises(GeneratorError, match=r"t5 cannot be read: .*; pip install 'gandiff\[t5\]'"):
        TextEncoder.from_source(str(folder))


def count_calls(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The captions of every call from now on."""
    asked: list[list[str]] = []
    usual = encoder.encode

    def counted(captions: list[str]) -> Any:
        asked.append(list(captions))
        return usual(captions)

    monkeypatch.setattr(encoder, "encode", counted)
    return asked


def test_captions_are_encoded_once(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoder.encode(CAPTIONS)
    asked = count_calls(encoder, monkeypatch)
    cache = CaptionCache(encoder, CAPTIONS)
    first, again = cache([*CAPTIONS, CAPTIONS[0]]), cache(CAPTIONS[::-1])
    assert asked == [CAPTIONS]
    torch.testing.assert_close(first.pooled[:3], whole.pooled)
    torch.testing.assert_close(again.pooled.flip(0), whole.pooled)
    torch.testing.assert_close(first.pooled[3], first.pooled[0])
    assert torch.equal(first.mask[:3], whole.mask)
    read = whole.mask[:, :, None]
    torch.testing.assert_close(first.tokens[:3] * read, whole.tokens * read)


def test_captions_that_cannot_be_kept_are_encoded_together(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_calls(encoder, monkeypatch)
    every = [f"star number {i}" for i in range(300)]
    cache = CaptionCache(encoder, every, limit=1000)
    found = cache([*CAPTIONS, CAPTIONS[0], ""])
    assert asked == [[*CAPTIONS, ""]]
    assert len(cache(every).pooled) == 300
    assert [len(part) for part in asked[1:]] == [256, 44]
    again = cache([*CAPTIONS, CAPTIONS[0], ""])
    assert torch.equal(again.tokens, found.tokens)
    assert torch.equal(again.pooled, found.pooled)
    torch.testing.assert_close(found.pooled[:3], encoder.encode(CAPTIONS).pooled)
    torch.testing.assert_close(found.pooled[3], found.pooled[0])


@pytest.mark.parametrize("known", [0, 40], ids=["unknown", "known"])
def test_features_do_not_depend_on_what_was_kept_before(encoder: TextEncoder, known: int) -> None:
    """Not by one bit: a resumed training begins with an empty cache."""
    every = [f"{'a small ' * (i % 4)}red star number {i}" for i in range(40)]
    full, fresh = (CaptionCache(encoder, every[:known]) for _ in range(2))
    for i in range(40):
        full(every[i : i + 3])
    asked = [every[i] for i in (3, 17, 39, 4, 3)]
    before, after = full(asked), fresh(asked)
    assert torch.equal(before.tokens, after.tokens)
    assert torch.equal(before.pooled, after.pooled)
    one = CaptionCache(encoder, every[:known])([every[17]])
    assert torch.equal(one.pooled[0], before.pooled[1])


def test_pipelines_read_captions_as_the_encoder_does(encoder: TextEncoder) -> None:
    """What a denoiser learns from is what plain diffusers samples with, padding included."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from gandiff.models.diffusion.networks import build_unet, build_vae

    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    networks = {"unet": build_unet(8, encoder.width), "vae": build_vae(16, 2)}
    pipe = StableDiffusionPipeline(
        text_encoder=encoder.model,
        tokenizer=encoder.tokenizer,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        **networks,
        **parts,
    )
    captions = ["a red star", "a little blue ring left of a heart"]
    with torch.inference_mode():
        theirs, empty = pipe.encode_prompt(captions, "cpu", 1, True)
        ours, none = (encoder.features(texts).tokens for texts in (captions, ["", ""]))
    torch.testing.assert_close(theirs, ours)
    torch.testing.assert_close(empty, none)
