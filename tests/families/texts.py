"""Tokenizers and text encoders of toy size: vocabularies made here, weights random."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import toys

WIDTH = 32  # of every text encoder, so that networks of different families can share settings
CLIP_TOKENS = 16
# What chat models wrap a prompt in: their words are in the vocabulary, so that a template has about
# as many tokens as with the real one (pipelines cut off a fixed number of them).
TEMPLATES = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:",
    "You are a promt engineer. Based on the provided source film caption, create a detailed prompt",
    "You are an assistant designed to generate superior images with the superior degree of "
    "image-text alignment based on textual prompts or user prompts. user assistant system think",
)
CHAT_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)


def clip(seed: int = 0, *, projection: bool = False, **changes: Any) -> tuple[Any, Any]:
    """A CLIP text model (with a projection where asked) and its tokenizer, of 16 tokens unless
    ``changes`` give ``max_position_embeddings``.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    encoder, tokenizer = toys.build_text(seed)
    tokenizer.model_max_length = changes.get("max_position_embeddings", CLIP_TOKENS)
    if projection or changes:
        torch.manual_seed(seed)
        kept = {**encoder.config.to_dict(), "projection_dim": WIDTH, **changes}
        kind = CLIPTextModelWithProjection if projection else CLIPTextModel
        encoder = kind(CLIPTextConfig(**kept))
    return encoder.eval(), tokenizer


def t5(seed: int = 0, *, longest: int = 512, **changes: Any) -> tuple[Any, Any]:
    """A T5 encoder and a tokenizer of words and letters; ``changes`` go to the encoder."""
    from transformers import T5Config, T5EncoderModel

    return _encoder(T5EncoderModel, T5Config, seed, **changes), _pieces(longest)


def umt5(seed: int = 0) -> tuple[Any, Any]:
    """A UMT5 encoder, which differs from T5 in having position biases in every layer."""
    from transformers import UMT5Config, UMT5EncoderModel

    return _encoder(UMT5EncoderModel, UMT5Config, seed), _pieces(512)


def _encoder(model: Any, config: Any, seed: int, **changes: Any) -> Any:
    import torch

    torch.manual_seed(seed)
    sizes = {"d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
    return model(config(**{"vocab_size": 384, **sizes, **changes})).eval()


@functools.cache
def words() -> tuple[str, ...]:
    """All words of the toys' prompts and of the templates."""
    texts = " ".join((*toys.PROMPTS, *TEMPLATES)).replace(",", " ").replace(":", " ")
    return tuple(dict.fromkeys(texts.split()))


def _pieces(longest: int) -> Any:
    """A T5 tokenizer, whose pieces are whole words and, for all others, single characters."""
    from transformers import T5Tokenizer

    printable = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [("▁" + word, -4.0) for word in words()]
    pieces += [(letter, -8.0) for letter in printable]
    return T5Tokenizer(vocab=pieces, extra_ids=4, model_max_length=longest)


@functools.cache
def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE that knows the words of the toys' prompts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        min_frequency=1,
        # Named here, they get their ids in this order, which decides between equal pairs.
        special_tokens=[*alphabet, *CHAT_TOKENS],
        show_progress=False,
    )
    learner.train_from_iterator([*toys.PROMPTS, *TEMPLATES], trainer)
    learned = json.loads(learner.to_str())["model"]
    return learned["vocab"], [tuple(pair) for pair in learned["merges"]]


def strengthen(network: Any, factors: dict[str, float]) -> None:
    """Multiply the weights (not biases) whose names hold a key by its factor.

    Random weights often give pictures that do not depend on the prompt, or grey ones.
    """
    import torch

    names: Sequence[tuple[str, Any]] = list(network.named_parameters())
    with torch.no_grad():
        for key, factor in factors.items():
            chosen = [weight for name, weight in names if key in name and name.endswith("weight")]
            if not chosen:
                raise ValueError(f"no weight of {type(network).__name__} has {key!r} in its name")
            for weight in chosen:
                weight.mul_(factor)


# Attention of joint blocks that picks words out: random attention averages, and the few words of a
# prompt are lost among hundreds of tokens of padding.
SHARP = {"norm_q": 3.0, "norm_added_k": 3.0, "add_v_proj": 20.0}
