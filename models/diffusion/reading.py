"""Which tokens of a prompt the text encoders of a pipeline read, seen from what they are given.

No limit is taken from a configuration: pipelines cut a prompt where the tokenizer stops, at a
length of their own, or after the encoder, and put it into templates that use up part of the length.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from gandiff.models.diffusion.counting import denoisers, modules, tokenizers
from gandiff.models.diffusion.patching import of_class
from gandiff.models.generator import GenerationRequest

_CALLS = "_calls_for_gandiff"
Tokens = Sequence[int]


class _Call(NamedTuple):
    """One call of a tokenizer."""

    texts: list[str]
    rows: Any  # token ids, one row for each text


class _Row(NamedTuple):
    """A text and the token ids that a tokenizer made of it."""

    text: str
    tokens: Tokens


class ReadingRecorder:
    """Keeps what a pipeline's tokenizers and text encoders are given while it is entered."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._tokenizers = tokenizers(pipe)
        self._calls: dict[str, list[_Call]] = {}
        self._given: dict[str, list[torch.Tensor]] = {}
        self._width = 0  # in tokens, of the text that the denoiser is given
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ReadingRecorder:
        for name, tokenizer in self._tokenizers.items():
            self._calls[name] = vars(tokenizer)[_CALLS] = []
            self._stack.callback(vars(tokenizer).pop, _CALLS)
            self._stack.enter_context(of_class(tokenizer, _recording(tokenizer.__class__)))
        networks = denoisers(self._pipe)
        hooked = {n: m for n, m in modules(self._pipe).items() if n not in networks} | networks
        for name, module in hooked.items():
            see = self._measure if name in networks else functools.partial(self._keep, name)
            hook = module.register_forward_pre_hook(see, with_kwargs=True)
            self._stack.callback(hook.remove)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def unread(
        self, requests: Sequence[GenerationRequest], max_sequence_length: int | None = None
    ) -> list[dict[str, int]]:
        """Tokens of each prompt that did not get through a text encoder, by encoder.

        Templates and special tokens do not count. Empty where all of them read to the end; else one
        that did has 0. ``max_sequence_length`` is that of the call: some pipelines cut there what
        the encoder gave.
        """
        rows = {n: [r for ids in given for r in ids.tolist()] for n, given in self._given.items()}
        results = []
        for place in range(len(requests)):
            read: dict[str, tuple[int, int]] = {}
            for name, tokenizer in self._tokenizers.items():
                prompt, given = _about(requests, place, tokenizer, self._calls[name])
                read |= _read_by(name, prompt, given, rows)
            if len(read) == 1 and self._width == max_sequence_length:
                read = {n: (min(seen, self._width), total) for n, (seen, total) in read.items()}
            cut = {name: total - seen for name, (seen, total) in read.items()}
            results.append(cut if any(cut.values()) else {})
        return results

    def _keep(
        self, name: str, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids, torch.Tensor) and ids.ndim == 2 and not ids.is_floating_point():
            self._given.setdefault(name, []).append(ids)

    def _measure(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        text = kwargs.get("encoder_hidden_states")
        if isinstance(text, torch.Tensor) and text.ndim == 3:
            self._width = max(self._width, text.shape[1])


@functools.cache
def _recording(cls: Any) -> Any:
    """A tokenizer's class that keeps its calls; Python looks ``__call__`` up in the class alone."""

    def call(self: Any, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        encoded = cls.__call__(self, text, *args, **kwargs)
        texts = [text] if isinstance(text, str) else list(text or ())
        if texts and all(isinstance(one, str) for one in texts):
            vars(self)[_CALLS].append(_Call(texts, _rows(encoded["input_ids"])))
        return encoded

    named = {"__call__": functools.wraps(cls.__call__)(call), "__module__": cls.__module__}
    return type(cls.__name__, (cls,), named)


def _rows(ids: Any) -> Any:
    """Token ids as rows, also those of a single text, which may come without a batch."""
    flat = ids.ndim == 1 if hasattr(ids, "ndim") else not any(isinstance(i, list) for i in ids)
    return [ids] if flat else ids


def _about(
    requests: Sequence[GenerationRequest], place: int, tokenizer: Any, calls: Iterable[_Call]
) -> tuple[Tokens, list[Tokens]]:
    """The tokens of a prompt as this tokenizer makes them, and the rows that it gave for it.

    A text is of a prompt that it contains (a template around it) or that it is a piece of (text in
    quotation marks, taken apart); or by its place among as many texts as there are requests (a
    prompt that the pipeline has cleaned, or cut itself).
    """
    prompt, negative = requests[place].prompt, requests[place].negative_prompt
    whole, pieces, others = list[_Row](), list[_Row](), list[_Row]()
    for call in calls:
        for number, (text, row) in enumerate(zip(call.texts, call.rows, strict=False)):
            kept = _Row(text, [int(token) for token in row])
            if _span(text, prompt) is not None:
                whole.append(kept)
            elif text and text in prompt and text != negative:
                pieces.append(kept)
            elif len(call.texts) == len(requests) and number == place and text != (negative or ""):
                others.append(kept)
    if pieces and not whole:
        return [token for piece in pieces for token in piece.tokens], []
    if not whole and not others:
        return [], []
    longest = max((row.text for row in whole or others), key=len)
    return _tokens(tokenizer, longest, prompt), [row.tokens for row in whole + pieces + others]


def _span(text: str, prompt: str) -> tuple[int, int] | None:
    """Where a prompt stands in a text, whatever its case."""
    wanted = prompt.strip().lower()
    start = text.lower().find(wanted)
    return None if start < 0 or not wanted else (start, start + len(wanted))


def _tokens(tokenizer: Any, text: str, prompt: str) -> Tokens:
    """The tokens of a text that belong to the prompt in it, of all where it holds no prompt."""
    start, end = _span(text, prompt) or (0, len(text))
    whole = {"add_special_tokens": False, "truncation": False, "verbose": False}
    try:
        encoded = tokenizer(text, return_offsets_mapping=True, **whole)
    except (NotImplementedError, ValueError):  # tokenizers in Python do not know the places
        return list(tokenizer(text[start:end], **whole)["input_ids"])
    places = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return [token for token, (first, last) in places if max(first, start) < min(last, end)]


def _read_by(
    name: str, prompt: Tokens, given: Iterable[Tokens], rows: Mapping[str, list[Tokens]]
) -> dict[str, tuple[int, int]]:
    """How many tokens of a prompt each encoder read, and of how many.

    The encoders are those that were given no less of it than the tokenizer's shortest row for it
    has; where none is seen, the one that is named like the tokenizer read that row.
    """
    if not prompt:
        return {}
    shortest = min((n for row in given if (n := _match(prompt, row))), default=0)
    reached = {
        encoder: max((_match(prompt, row) for row in own), default=0)
        for encoder, own in rows.items()
    }
    read = {e: (n, len(prompt)) for e, n in reached.items() if n and n >= shortest}
    return read or ({name: (shortest, len(prompt))} if shortest else {})


def _match(prompt: Tokens, row: Tokens) -> int:
    """How many tokens of the beginning, or of the end, of a prompt stand in a row one by one."""
    forward = _run(prompt, row)
    return forward if forward == len(prompt) else max(forward, _run(prompt[::-1], row[::-1]))


def _run(wanted: Tokens, row: Tokens) -> int:
    best = 0
    for start in (i for i, token in enumerate(row) if token == wanted[0]):
        length = 0
        while length < min(len(wanted), len(row) - start) and row[start + length] == wanted[length]:
            length += 1
        best = max(best, length)
    return best
