"""The tokenizer of captions: a CLIP tokenizer whose merges are learned from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandiff.common.errors import GeneratorError
from gandiff.common.files import write_atomically

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


def write_vocabulary(folder: Path) -> None:
    """Write a saved tokenizer's vocabulary and merges into files of their own, if it has merges.

    transformers 5 reads them from ``tokenizer.json``; the CLIP tokenizer of transformers 4, which
    plain diffusers asks for by name, from these two alone.
    """
    file = folder / "tokenizer.json"
    model = json.loads(file.read_text(encoding="utf-8"))["model"] if file.is_file() else {}
    if model.get("type") != "BPE":
        return
    merges = (one if isinstance(one, str) else " ".join(one) for one in model["merges"])
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    write_atomically(folder / "vocab.json", vocabulary.encode())
    write_atomically(folder / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]).encode())


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


def check_tokenizer(tokenizer: Any, model: Any, where: str) -> None:
    """Raise ``GeneratorError`` for a tokenizer that was not read whole, or is not the one that a
    CLIP or T5 text encoder was trained with; transformers loads both without a word.
    """
    vocabulary = tokenizer.get_vocab()
    again = f"the tokenizer in {where} is incomplete or of another model; copy it again"
    if len({tuple(tokenizer(word)["input_ids"]) for word in ("a", "red", "7")}) == 1:
        raise GeneratorError(f"every prompt has the same tokens: {again}")
    rows = model.get_input_embeddings().num_embeddings
    if max(vocabulary.values()) >= rows:
        raise GeneratorError(
            f"it has {len(vocabulary)} tokens where the text encoder has {rows}: {again}"
        )
    if tokenizer.pad_token is None:
        raise GeneratorError(f"it has no padding token (tokenizer_config.json): {again}")
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and tokenizer.model_max_length > longest:
        raise GeneratorError(
            f"tokenizer_config.json must have a model_max_length of at most {longest}, which the "
            f"text encoder reads, got {tokenizer.model_max_length}: {again}"
        )
