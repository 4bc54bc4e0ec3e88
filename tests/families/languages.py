"""Language models as text encoders, and their tokenizers, of toy size."""

from __future__ import annotations

import functools
import json
from typing import Any

import toys

from families import texts
from families.texts import CHAT_TOKENS, WIDTH, byte_pairs

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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


@functools.cache
def _gemma_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of Gemma's kind: spaces are letters, unknown letters are bytes."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = ["▁", *(chr(code) for code in range(33, 127))]
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        min_frequency=1,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters],
        show_progress=False,
    )
    learner.train_from_iterator([*toys.PROMPTS, *texts.TEMPLATES], trainer)
    learned = json.loads(learner.to_str())["model"]
    return learned["vocab"], [tuple(pair) for pair in learned["merges"]]


def gemma_tokenizer(longest: int = 2048) -> Any:
    """Gemma's tokenizer, which begins a text with ``<bos>``."""
    from tokenizers import processors
    from transformers import GemmaTokenizer

    vocab, merges = _gemma_pairs()
    tokenizer = GemmaTokenizer(vocab=dict(vocab), merges=list(merges), model_max_length=longest)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    return tokenizer


def plain_tokenizer(longest: int = 2048) -> Any:
    """A byte-level tokenizer without a class of its own, as Llama 3 and GLM have it: a text begins
    with a special token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab, merges = byte_pairs()
    backend = Tokenizer(models.BPE(vocab=dict(vocab), merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", vocab["<|im_start|>"])]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=longest,
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token="<|im_start|>",
        additional_special_tokens=list(CHAT_TOKENS[1:]),
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def language_model(model: str, tokenizer: Any, layers: int = 2, **changes: Any) -> Any:
    """A decoder-only model of this class of transformers, with random weights.

    ``changes`` go to its settings. Its embeddings are as large as trained ones: pipelines read
    layers below the last, which are not normalised.
    """
    import torch
    import transformers

    cls = getattr(transformers, model)
    torch.manual_seed(0)
    config = cls.config_class(**{**decoder_sizes(len(tokenizer), layers), **changes})
    return _with_large_embeddings(cls(config))


def _with_large_embeddings(network: Any) -> Any:
    import torch

    with torch.no_grad():
        network.get_input_embeddings().weight.mul_(25.0)
    return network.eval()


def mistral3(layers: int = 2) -> tuple[Any, Any]:
    """Mistral 3 for pictures and text, with its processor."""
    import torch
    from transformers import (
        Mistral3Config,
        Mistral3ForConditionalGeneration,
        MistralConfig,
        PixtralImageProcessor,
        PixtralProcessor,
        PixtralVisionConfig,
    )

    tokenizer = plain_tokenizer()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [*CHAT_TOKENS[1:], "[IMG]", "[IMG_BREAK]", "[IMG_END]"]}
    )
    config = Mistral3Config(
        text_config=MistralConfig(**decoder_sizes(len(tokenizer), layers), head_dim=8),
        vision_config=PixtralVisionConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    torch.manual_seed(0)
    processor = PixtralProcessor(
        image_processor=PixtralImageProcessor(),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    )
    return _with_large_embeddings(Mistral3ForConditionalGeneration(config)), processor


def qwen3_vl(model: str, layers: int = 4) -> tuple[Any, Any]:
    """Qwen3-VL (its bare model or with the head that writes) and its tokenizer."""
    import torch
    import transformers

    tokenizer = chat_tokenizer()
    config = transformers.Qwen3VLConfig(
        text_config={
            **decoder_sizes(len(tokenizer), layers),
            "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
                "rope_theta": 10000.0,
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
    )
    torch.manual_seed(0)
    return _with_large_embeddings(getattr(transformers, model)(config)), tokenizer


def vision_processor(kind: str, tokenizer: Any) -> Any:
    """A processor of images, videos and text around a tokenizer; ``kind`` is its class."""
    import transformers

    videos = {"Qwen3VLProcessor": "Qwen3VLVideoProcessor"}.get(kind, "Qwen2VLVideoProcessor")
    return getattr(transformers, kind)(
        image_processor=transformers.Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, videos)(),
        chat_template=CHAT_TEMPLATE,
    )


def seeded_model(model: Any, config: Any) -> Any:
    """A model of transformers of this configuration, with random weights."""
    import torch

    torch.manual_seed(0)
    return _with_large_embeddings(model(config))


def bert_tokenizer(longest: int = 77) -> Any:
    """BERT's tokenizer: the toys' words, and single letters for all others."""
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127)]
    words = [*special, *letters, *(f"##{letter}" for letter in letters), *texts.words()]
    vocab = {
        word: i
        for i, word in enumerate(dict.fromkeys(w.lower() if w not in special else w for w in words))
    }
    return BertTokenizer(vocab=vocab, model_max_length=longest)
