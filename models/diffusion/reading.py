"""Which tokens of a prompt the text encoders of a pipeline read, seen from what they are given.

No limit is taken from a configuration: pipelines cut a prompt where the tokenizer stops, at a
length of their own, or after the encoder, and put it into templates that use up part of the length.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from gandiff.models.diffusion.counting import denoisers, modules, tokenizers
from gandiff.models.diffusion.patching import of_class
from gandiff.models.generator import GenerationRequest

_CALLS = "_calls_for_gandiff"
_SCALARS = 0x110000  # characters that there can be; no vocabulary has as many tokens
Tokens = str  # a character for each, so that Python finds a run of them fast


class _Row(NamedTuple):
    """A text, the request whose place it has, and the tokens that a tokenizer made of it."""

    text: str
    place: int | None
    tokens: Tokens


class ReadingRecorder:
    """Keeps what a pipeline's tokenizers and text encoders are given each time it is entered."""

    def __init__(self, pipe: Any) -> None:
        self._tokenizers = tokenizers(pipe)
        self._denoisers = denoisers(pipe)
        self._others = {n: m for n, m in modules(pipe).items() if n not in self._denoisers}
        self._calls: dict[str, list[tuple[list[str], Any]]] = {}  # texts and their token ids
        self._given: dict[str, list[torch.Tensor]] = {}
        self._width = 0  # in tokens, of the text that the denoiser is given
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ReadingRecorder:
        self._given, self._width = {}, 0
        for name, tokenizer in self._tokenizers.items():
            self._calls[name] = vars(tokenizer)[_CALLS] = []
            self._stack.callback(vars(tokenizer).pop, _CALLS)
            self._stack.enter_context(of_class(tokenizer, _recording(tokenizer.__class__)))
        hooks: list[tuple[Any, Any]] = [(m, self._measure) for m in self._denoisers.values()]
        hooks += [(m, functools.partial(self._keep, n)) for n, m in self._others.items()]
        for module, see in hooks:
            self._stack.callback(module.register_forward_pre_hook(see, with_kwargs=True).remove)
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
        given = {n: {row for ids in own for row in _packed(ids)} for n, own in self._given.items()}
        reads = [dict[str, tuple[int, int]]() for _ in requests]
        for name, tokenizer in self._tokenizers.items():
            rows = _rows(self._calls[name], len(requests))
            seen = [_about(request, place, rows) for place, request in enumerate(requests)]
            whole = _tokens(tokenizer, [text for text, *_ in seen], [r.prompt for r in requests])
            for read, prompt, (_, pieces, made) in zip(reads, whole, seen, strict=True):
                read |= _read_by(name, prompt or pieces, made, given)
        results = []
        for read in reads:
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
            vars(self)[_CALLS].append((texts, encoded["input_ids"]))
        return encoded

    named = {"__call__": functools.wraps(cls.__call__)(call), "__module__": cls.__module__}
    return type(cls.__name__, (cls,), named)


def _packed(ids: Any) -> list[Tokens]:
    """Token ids by rows, also those of a single text, which may come without a batch."""
    rows = ids.tolist() if hasattr(ids, "tolist") else ids
    if not any(isinstance(row, list) for row in rows):
        rows = [rows]
    return ["".join([chr(token % _SCALARS) for token in row]) for row in rows]


def _rows(calls: Iterable[tuple[list[str], Any]], requests: int) -> list[_Row]:
    return [
        _Row(text, place if len(texts) == requests else None, tokens)
        for texts, ids in calls
        for place, (text, tokens) in enumerate(zip(texts, _packed(ids), strict=False))
    ]


def _about(
    request: GenerationRequest, place: int, rows: Iterable[_Row]
) -> tuple[str, Tokens, list[Tokens]]:
    """A text that holds a prompt, else the tokens of its pieces; and what was made of it.

    A text is of a prompt that it contains (a template around it) or that it is a piece of (text in
    quotation marks, taken apart); or by its place among as many texts as there are requests (a
    prompt that the pipeline has cleaned, or cut itself).
    """
    prompt, negative = request.prompt, request.negative_prompt or ""
    whole, pieces, others = list[_Row](), list[_Row](), list[_Row]()
    for row in rows:
        if _span(row.text, prompt) is not None:
            whole.append(row)
        elif row.text and row.text in prompt and row.text != negative:
            pieces.append(row)
        elif row.place == place and row.text != negative:
            others.append(row)
    if pieces and not whole:
        return "", "".join(piece.tokens for piece in pieces), []
    longest = max((row.text for row in whole or others), key=len, default="")
    # Beside a whole prompt others are of something else, such as the template of no prompt.
    return longest, "", [row.tokens for row in (whole or others) + pieces]


def _span(text: str, prompt: str) -> tuple[int, int] | None:
    """Where a prompt stands in a text, whatever its case."""
    wanted = prompt.strip().lower()
    start = text.lower().find(wanted)
    return None if start < 0 or not wanted else (start, start + len(wanted))


def _tokens(tokenizer: Any, texts: list[str], prompts: Sequence[str]) -> list[Tokens]:
    """The tokens of each text that belong to the prompt in it, of all where it holds no prompt."""
    spans = [_span(*pair) or (0, len(pair[0])) for pair in zip(texts, prompts, strict=True)]
    if not any(texts):
        return texts
    whole = {"add_special_tokens": False, "truncation": False, "verbose": False}
    try:
        encoded = tokenizer(texts, return_offsets_mapping=True, **whole)
        ids_and_places = encoded["input_ids"], encoded["offset_mapping"]
    except (NotImplementedError, ValueError, KeyError):  # in Python they do not know the places
        parts = [text[start:end] for text, (start, end) in zip(texts, spans, strict=True)]
        return _packed(tokenizer(parts, **whole)["input_ids"])
    kept = []
    for ids, places, (start, end) in zip(*ids_and_places, spans, strict=True):
        inside = [max(first, start) < min(last, end) for first, last in places]
        kept.append(list(itertools.compress(ids, inside)))
    return _packed(kept)


def _read_by(
    name: str, prompt: Tokens, made: Iterable[Tokens], given: Mapping[str, Collection[Tokens]]
) -> dict[str, tuple[int, int]]:
    """How many tokens of a prompt each encoder read, and of how many.

    The encoders are those that were given no less of it than the tokenizer's shortest row for it
    has; else those that were given the beginning of such a row, which the pipeline has cut itself;
    where none is seen, the one that is named like the tokenizer read that row.
    """
    if not prompt:
        return {}
    made = list(made)
    shortest = min((n for row in made if (n := _match(prompt, [row]))), default=0)
    reached = {encoder: _match(prompt, rows) for encoder, rows in given.items()}
    read = {e: (n, len(prompt)) for e, n in reached.items() if n and n >= shortest}
    if not read:
        begun = [e for e, rows in given.items() if any(m.startswith(tuple(rows)) for m in made)]
        read = {e: (reached[e], len(prompt)) for e in begun if reached[e]}
    return read or ({name: (shortest, len(prompt))} if shortest else {})


def _match(prompt: Tokens, rows: Collection[Tokens]) -> int:
    """How many tokens of the beginning, or of the end, of a prompt stand in a row one by one."""

    if any(prompt in row for row in rows):
        return len(prompt)
    return max(_longest(prompt, rows, 1), _longest(prompt, rows, -1))


def _longest(prompt: Tokens, rows: Collection[Tokens], end: int) -> int:
    """How many tokens of the beginning (end 1) or of the end (-1) stand in a row one by one."""
    lengths = range(1, len(prompt) + 1)
    return bisect.bisect(
        lengths,
        0,
        key=lambda n: not any((prompt[:n] if end > 0 else prompt[-n:]) in row for row in rows),
    )
