"""Captions to token features, for everything that conditions on text.

The small text encoder is an ordinary CLIP text transformer with a vocabulary of its own, saved the
way transformers saves one, so that it also is the text encoder of the diffusion pipeline.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gandiff.common.errors import GeneratorError
from gandiff.common.files import expanded, write_atomically
from gandiff.common.hub_cache import quick_hub
from gandiff.common.words import agree, counted
from gandiff.models.tokenizer import check_tokenizer, token_ids, tokenize, write_vocabulary
from gandiff.models.weights import check_text_parts

LONGEST = 128  # tokens of a caption, where the tokenizer itself sets no limit
_KINDS = {"clip": "CLIPTextModel", "clip_text_model": "CLIPTextModel", "t5": "T5EncoderModel"}


class TextFeatures(NamedTuple):
    """Features of n captions; ``truncated`` counts the tokens of each that were not read."""

    tokens: Float[Tensor, "n l d"]
    pooled: Float[Tensor, "n d"]  # at the end token
    # True up to and with the end token, False at padding; or a weight for each token, 0 to 1.
    mask: Bool[Tensor, "n l"] | Float[Tensor, "n l"]
    truncated: list[int]

    def at(self, which: Sequence[int]) -> TextFeatures:
        """Features of these captions, in this order; some may come more than once."""
        places = list(which)
        tokens, pooled, mask = (part[places] for part in (self.tokens, self.pooled, self.mask))
        return TextFeatures(tokens, pooled, mask, [self.truncated[i] for i in places])

    def repeated(self, which: Tensor) -> TextFeatures:
        """All captions, and behind them those at ``which`` once more."""
        return self.at([*range(len(self.pooled)), *which.tolist()])


def build_text_encoder(tokenizer: Any, width: int = 96, layers: int = 2, heads: int = 4) -> Any:
    """A CLIPTextModel with fresh weights for this tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=width,
    )
    return CLIPTextModel(config)


class TextEncoder:
    """A frozen CLIP or T5 text encoder with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        if tokenizer.model_max_length > LONGEST:  # T5's tokenizers name no limit
            tokenizer.model_max_length = LONGEST

    @classmethod
    def from_source(cls, source: str) -> TextEncoder:
        """Load any CLIP or T5 text encoder, by hub id or folder.

        A folder that ``gandiff train`` wrote or a diffusers pipeline will do, too. Raises
        ``GeneratorError`` if there is none or its kind is not known.
        """
        folder = expanded(source)
        if (folder / "text_encoder").is_dir():
            return cls.from_pretrained(folder)
        return cls(*_load_parts(source, source, source))

    @classmethod
    def from_pretrained(cls, folder: Path) -> TextEncoder:
        """Load from a folder with ``text_encoder/`` and ``tokenizer/``.

        Raises ``GeneratorError`` if one of them is missing or cannot be read.
        """
        check_text_parts(folder)
        parts = (str(folder / "text_encoder"), str(folder / "tokenizer"))
        return cls(*_load_parts(*parts, str(folder)))

    def save_pretrained(self, folder: Path) -> None:
        """Write ``text_encoder/`` and ``tokenizer/`` into a folder."""
        with _no_bars():
            self.model.save_pretrained(folder / "text_encoder")
            self.tokenizer.save_pretrained(folder / "tokenizer")
        rename_weights(folder / "text_encoder")
        write_vocabulary(folder / "tokenizer")

    @property
    def width(self) -> int:
        """Length of a feature vector."""
        return int(self.model.config.hidden_size)

    def ids(self, captions: Sequence[str]) -> Tensor:
        """Token ids (n, l), padded to the full length.

        A long caption loses its last words but keeps the end token.
        """
        return token_ids(self.tokenizer, captions)

    def truncated(self, captions: Sequence[str]) -> list[int]:
        """How many tokens of each caption do not fit."""
        full = self.tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        return [max(0, len(ids) - self.tokenizer.model_max_length) for ids in full]

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> TextFeatures:
        """Features of captions; each depends on its own caption alone."""
        return self.features(captions, "max_length", self.truncated(captions))

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> TextFeatures:
        """The same features, padded to the longest caption only: faster, for training."""
        return self.features(captions, "longest", [0] * len(captions))

    def features(
        self, captions: Sequence[str], padding: str = "max_length", unread: Sequence[int] = ()
    ) -> TextFeatures:
        """Features with their gradients, for training; ``unread`` is what ``truncated`` says."""
        batch = tokenize(self.tokenizer, captions, padding)
        ids, mask = (batch[key].to(self.model.device) for key in ("input_ids", "attention_mask"))
        if self.model.config.model_type == "t5":
            hidden = self.model(ids, attention_mask=mask).last_hidden_state
            weight = mask[:, :, None].to(hidden.dtype)
            # T5 has no vector for the whole text: the mean over its tokens.
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        else:  # CLIP looks back only, so padding at the end changes nothing
            out = self.model(ids)
            hidden, pooled = out.last_hidden_state, out.pooler_output
        return TextFeatures(hidden, pooled, mask.bool(), list(unread) or [0] * len(captions))

    def to(self, device: str, dtype: torch.dtype) -> TextEncoder:
        """Move the weights."""
        self.model.to(device=device, dtype=dtype)
        return self


def _load_parts(model: str, tokenizer: str, where: str) -> tuple[Any, Any]:
    """Text encoder and tokenizer from two sources, each a hub id or a folder."""
    import transformers

    try:
        on_disk = Path(model).is_dir() and Path(tokenizer).is_dir()
        with _no_bars(), contextlib.nullcontext() if on_disk else quick_hub():
            kind = transformers.AutoConfig.from_pretrained(model).model_type
            if kind not in _KINDS:
                raise GeneratorError(
                    f"{model} is a {kind} model; a text encoder must be CLIP or T5"
                )
            tokens = transformers.AutoTokenizer.from_pretrained(tokenizer)
            # Without a dtype it would be that of the file, which may be half precision.
            weights, report = getattr(transformers, _KINDS[kind]).from_pretrained(
                model, dtype=torch.float32, output_loading_info=True
            )
            if missing := sorted(report["missing_keys"]):  # transformers draws them at random
                raise GeneratorError(
                    f"the weights of the text encoder in {where} lack {missing[0]}: they are of "
                    "another model, or of a newer transformers than this one; save them again"
                )
            check_tokenizer(tokens, weights, where)
            if kind == "t5":  # so that pipelines mask the padding, as ``features`` does
                weights.config.use_attention_mask = True
            return weights, tokens
    except (GeneratorError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # every file format has errors of its own
        raise GeneratorError(
            f"the text encoder or tokenizer in {where} cannot be read: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    import transformers

    utils: Any = transformers.utils
    said = " ".join(str(error).split())[:200]
    readable = utils.is_sentencepiece_available() and utils.is_protobuf_available()
    # Where transformers lacks what it reads a sentencepiece model with, it asks for tiktoken, or
    # tries to read the model as one of tiktoken's.
    if not readable and any(word in said for word in ("tiktoken", "sentencepiece", "spiece")):
        return (
            "its tokenizer is a sentencepiece model without a tokenizer.json, and the packages "
            "that read one are not there; pip install 'gandiff[t5]'"
        )
    return said


def rename_weights(folder: Path) -> None:
    """Give the weights of a saved CLIP text encoder the names that every transformers reads.

    5.6 and later write them without the prefix ``text_model.``; earlier ones find none of those,
    and all find them with it.
    """
    file = folder / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    if "embeddings.token_embedding.weight" in weights:
        named = {f"text_model.{name}": tensor for name, tensor in weights.items()}
        write_atomically(file, safetensors.torch.save(named, metadata={"format": "pt"}))


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing a progress bar over a few hundred kilobytes."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def truncation_message(cut: int, count: int, what: str, tokenizer: Any) -> str:
    """A sentence on texts that are longer than what a text encoder reads of them."""
    return (
        f"{cut:,} of {counted(count, what)} {agree(cut, 'are longer')} than the "
        f"{tokenizer.model_max_length} tokens that the text encoder reads; "
        f"{'its end is' if cut == 1 else 'their ends are'} cut"
    )


def parameter_count(module: Any) -> int:
    """How many parameters a module has."""
    return sum(p.numel() for p in module.parameters())
