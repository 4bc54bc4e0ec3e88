"""The tokenizer of captions: a CLIP tokenizer whose merges are learned from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 32


def build_tokenizer(captions: Iterable[str], max_tokens: int = MAX_TOKENS) -> Any:
    """A CLIP tokenizer whose byte-pair merges were learned from these captions.

    Every byte keeps a token of its own, at a word's end and inside, so any text can be read. The
    two special tokens come last: readers that look for the highest id find the end of the text.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _learn_merges(captions, alphabet)
    words = [*alphabet, *(a + "</w>" for a in alphabet), *(a + b for a, b in merges), START, END]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=max_tokens,
    )


def _learn_merges(captions: Iterable[str], alphabet: list[str]) -> list[Any]:
    """Pairs of tokens to merge, the most frequent first; the same captions give the same ones."""
    import json

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(
        models.BPE(unk_token=END, continuing_subword_prefix="", end_of_word_suffix="</w>")
    )
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        min_frequency=2,
        # Named here, they get their ids in this order; as the trainer meets them it is by chance,
        # and the ids decide which of two pairs that are equally frequent is merged first.
        special_tokens=[END, *(letter + "</w>" for letter in alphabet)],
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


def token_ids(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    """Ids (n, l), padded to the tokenizer's full length; a cut caption keeps its end token."""
    return torch.as_tensor(tokenize(tokenizer, captions, "max_length")["input_ids"])


def tokenize(tokenizer: Any, captions: Sequence[str], padding: str) -> Any:
    """Ids and mask; ``padding`` is ``longest`` or ``max_length``."""
    return tokenizer(
        list(captions),
        padding=padding,
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    )
