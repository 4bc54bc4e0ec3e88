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
_TEMPLATES = (
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
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip(seed: int = 0, *, projection: bool = False, **changes: Any) -> tuple[Any, Any]:
    """A CLIP text model (with a projection where asked) and a tokenizer of 16 tokens."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    encoder, tokenizer = toys.build_text(seed)
    if projection or changes:
        torch.manual_seed(seed)
        kept = {**encoder.config.to_dict(), "projection_dim": WIDTH, **changes}
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(**kept))
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
    return model(config(vocab_size=384, **{**sizes, **changes})).eval()


@functools.cache
def _words() -> tuple[str, ...]:
    texts = " ".join((*toys.PROMPTS, *_TEMPLATES)).replace(",", " ").replace(":", " ")
    return tuple(dict.fromkeys(texts.split()))


def _pieces(longest: int) -> Any:
    """A T5 tokenizer, whose pieces are whole words and, for all others, single characters."""
    from transformers import T5Tokenizer

    printable = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [("▁" + word, -4.0) for word in _words()]
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
    learner.train_from_iterator([*toys.PROMPTS, *_TEMPLATES], trainer)
    learned = json.loads(learner.to_str())["model"]
    return learned["vocab"], [tuple(pair) for pair in learned["merges"]]


def chat_tokenizer(longest: int = 1024, template: str | None = CHAT_TEMPLATE) -> Any:
    """Qwen's kind of tokenizer, byte-level with the tokens of a chat."""
    from transformers import Qwen2Tokenizer

    vocab, merges = byte_pairs()
    tokenizer = Qwen2Tokenizer(
        vocab=dict(vocab),
        merges=list(merges),
        model_max_length=longest,
        additional_special_tokens=list(CHAT_TOKENS[1:]),
    )
    tokenizer.chat_template = template
    return tokenizer


def qwen_vl(seed: int = 0) -> tuple[Any, Any]:
    """Qwen2.5-VL, text and vision halves, with its tokenizer."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = chat_tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in CHAT_TOKENS}
    config = Qwen2_5_VLConfig(
        text_config={
            **decoder_sizes(len(tokenizer)),
            "rope_parameters": {
                "rope_type": "default",
                "type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 10000.0,
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(config).eval(), tokenizer


def decoder_sizes(vocabulary: int, layers: int = 2) -> dict[str, Any]:
    """Settings that all decoder-only language models take."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


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
