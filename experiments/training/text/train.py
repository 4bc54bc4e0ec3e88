"""Training of the small text encoder on captions alone: no picture, no held-out pair.

The vector at the end token must carry what the caption says. For scenes that is the facts stated
(an unstated fact is a class of its own), so "a star left of a ring" and "a ring right of a star"
come out alike, and every caption is read in two wordings whose vectors are pulled together: a
generator would otherwise take the wording for its noise, and draw each wording in one way. For
other captions the vector must carry which words occur.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gandiff.common.errors import GeneratorError, RequestError
from gandiff.experiments.data.captioned import CaptionedImages
from gandiff.experiments.scenes.captions import caption_facts, captions
from gandiff.experiments.scenes.facts import sample_scenes, scene_seeds
from gandiff.experiments.training.averaging import anneal, descend
from gandiff.experiments.training.checkpoints import CHECKPOINT, read_checkpoint
from gandiff.experiments.training.checks import check_request, open_recorded, rank_zero_first
from gandiff.experiments.training.claim import claim
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.progress import LOG
from gandiff.experiments.training.ranks import SINGLE_PROCESS, Ranks
from gandiff.experiments.training.records import TEXT_LABEL, TEXT_RECORD, write_json
from gandiff.experiments.training.request import TrainingRequest
from gandiff.experiments.training.text.record import (
    ALL,
    Difference,
    captions_digest,
    clear,
    cut_facts,
    difference,
    keep_data,
    made_facts,
)
from gandiff.experiments.training.text.targets import fact_classes, fact_targets
from gandiff.models.gan.layers import unit_variance
from gandiff.models.text import TextEncoder, TextFeatures, build_text_encoder
from gandiff.models.tokenizer import build_tokenizer

MINUTES = 5.0  # at most; a tenth of the whole budget otherwise
WORDING = 10.0  # weight of the distance between two wordings of the same facts
KCAPTIONS = 600.0  # thousand captions, at most, where the budget is in thousands of images
RECORD, _LABEL = TEXT_RECORD, TEXT_LABEL
_CAPTIONS = 20_000  # to learn words from
_GROUP = 16  # captions that are encoded in one go and kept
_AT_ONCE = 256  # captions that are encoded in one go, at most, where none are kept


def train(request: TrainingRequest, data: CaptionedImages | None = None) -> Path:
    """Train a text encoder into ``request.out``; returns it. ``data`` is opened if not given."""
    check_request(request, CHECKPOINT)
    with claim(request.out, overwrite=True):
        return _train_alone(request, data)


def _train_alone(request: TrainingRequest, data: CaptionedImages | None) -> Path:
    request = dataclasses.replace(request, device="cpu")  # it is too small to gain from another
    torch.manual_seed(request.seed)
    given, data = data, data or open_recorded(request)
    tokenizer = build_tokenizer(data.captions(_CAPTIONS))
    encoder = TextEncoder(build_text_encoder(tokenizer), tokenizer)
    model = encoder.model.train().requires_grad_(True)
    sizes = fact_classes() if request.data == "scenes" else {"words": len(tokenizer)}
    heads = nn.ModuleDict({k: nn.Linear(encoder.width, n) for k, n in sizes.items()})
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *heads.parameters()], lr=1e-3, weight_decay=1e-2
    )
    known = [] if data.count is None else data.captions(ALL)
    size = 256
    parts = {"model": model, "heads": heads, "optimizer": optimizer}
    loop = Loop(request, _LABEL, parts, size=size, captions_sha256=captions_digest(data))
    if given is None:
        keep_data(request, data)
    if not request.resume:
        (request.out / RECORD).unlink(missing_ok=True)

    def step() -> tuple[int, dict[str, float]]:
        anneal(optimizer, loop.fraction, loop.progress.steps, start=2e-3, end=1e-5)
        texts, wanted = _batch(request, known, encoder, loop.progress.position, size)
        ids = encoder.ids(texts)
        # Cut after the longest caption: CLIP looks back only, so padding changes nothing.
        length = int((ids != tokenizer.pad_token_id).sum(1).max()) + 1
        pooled = model(ids[:, :length]).pooler_output
        if "words" in wanted:
            loss = F.binary_cross_entropy_with_logits(heads["words"](pooled), wanted["words"])
        else:
            losses = [F.cross_entropy(heads[k](pooled), v) for k, v in wanted.items()]
            loss = torch.stack(losses).sum()
            first, second = unit_variance(pooled).chunk(2)
            loss = loss + WORDING * (first - second).square().mean()
        descend(optimizer, loss)
        return size, {"loss": float(loss.detach())}

    facts = made_facts(encoder, data)
    loop.run(step)
    model.eval().requires_grad_(False)
    encoder.save_pretrained(request.out)
    scores = check(encoder, heads) if request.data == "scenes" else {}
    write_json(request.out / RECORD, loop.record(validation=scores, **facts))
    return request.out


def _batch(
    request: TrainingRequest, known: list[str], encoder: TextEncoder, start: int, n: int
) -> tuple[list[str], dict[str, Tensor]]:
    if request.data == "scenes":
        seeds = scene_seeds("train", (request.seed << 28) + start, n)
        facts = caption_facts(sample_scenes(seeds[: n // 2]), seeds[: n // 2])
        wordings = [captions(facts, seeds[: n // 2], variant) for variant in (0, 1)]
        both = {name: torch.cat([v, v]) for name, v in fact_targets(facts).items()}
        return [text for wording in wordings for text in wording], both
    chosen = np.random.default_rng([request.seed, start]).integers(0, len(known), n)
    texts = [known[i] for i in chosen]
    ids = encoder.ids(texts)
    return texts, {"words": torch.zeros(n, len(encoder.tokenizer)).scatter_(1, ids, 1.0)}


@torch.inference_mode()
def check(encoder: TextEncoder, heads: nn.ModuleDict, n: int = 2000) -> dict[str, float]:
    """Share of validation captions whose facts are all read right, also with held-out pairs."""
    out = {}
    for name, held_out in (("usual", False), ("held_out", True)):
        seeds = scene_seeds("validation", 0, n, held_out=held_out)
        facts = caption_facts(sample_scenes(seeds), seeds, say_held_out=held_out)
        pooled = encoder(captions(facts, seeds)).pooled
        wanted = fact_targets(facts)
        right = torch.stack([heads[k](pooled).argmax(1) == v for k, v in wanted.items()])
        out[name] = float(right.all(0).float().mean())
    return out


def ensure(
    request: TrainingRequest, data: CaptionedImages, ranks: Ranks = SINGLE_PROCESS
) -> TextEncoder:
    """The text encoder in ``request.out``, made by the first process if it is not there.

    It is trained on the captions of ``data``, or copied where the request names one. One that was
    made from something else is made again; a resumed training cannot continue with another, and
    raises ``RequestError``.
    """
    rank_zero_first(ranks, lambda: _make_sure(request, data))
    return TextEncoder.from_pretrained(request.out)


def _make_sure(request: TrainingRequest, data: CaptionedImages) -> None:
    record = request.out / RECORD
    if record.is_file():
        facts = json.loads(record.read_text(encoding="utf-8"))
        differs = difference(facts, request, data) or _other_budget(facts, request)
        if differs is None:
            keep_data(request, data)
            cut = cut_facts(TextEncoder.from_pretrained(request.out), data)
            now = {k: v for k, v in facts.items() if k != "captions"} | cut
            if now != facts:
                write_json(record, now)
            return
        where = f"the text encoder in {request.out} {differs.problem}"
        if request.resume:
            raise RequestError(f"--resume: {where}; {differs.remedy}, or start in another --out")
        print(f"warning: {where}; it is made again", file=sys.stderr)
    keep_data(request, data)
    if request.text_encoder is not None:
        _copy_given(request, data)
    else:
        _train_part(request, data)


def _train_part(request: TrainingRequest, data: CaptionedImages) -> None:
    """Train the text encoder as the first part of the training of a generator."""
    checkpoint, resume = request.out / CHECKPOINT, False
    if request.resume and checkpoint.is_file():
        label = read_checkpoint(checkpoint)["label"]
        if label != _LABEL:  # it would be overwritten by that of a new text encoder
            raise RequestError(
                f"{request.out} holds a {label} and no {RECORD}, so the text encoder that it was "
                "trained with is unknown; copy that file back, or start in another --out"
            )
        resume = True
    alone = dataclasses.replace(
        request,
        processes=1,
        accumulate=1,
        resume=resume,
        **_budget(request),  # type: ignore[arg-type]
    )
    clear(request.out)
    check_request(alone, CHECKPOINT)
    _train_alone(alone, data)  # whoever trains the generator has claimed the folder
    checkpoint.unlink(missing_ok=True)
    (request.out / LOG).unlink(missing_ok=True)


def _budget(request: TrainingRequest) -> dict[str, float]:
    """The part of a generator's budget that its text encoder gets on top."""
    if request.kimg is not None:
        return {"kimg": min(KCAPTIONS, request.kimg)}
    return {"minutes": min(MINUTES, request.minutes * 0.1)}


def _other_budget(facts: Mapping[str, Any], request: TrainingRequest) -> Difference | None:
    """Whether a generator of another budget, such as a short trial, had it made. One that was
    trained alone is kept, as is that of a resumed training.
    """
    before, now = facts.get("budget"), _budget(request)
    alone = request.text_encoder is not None or "train text" in facts.get("command", "")
    if request.resume or alone or before in (None, now):
        return None
    had, gets = (" and ".join(f"{n:g} {unit}" for unit, n in b.items()) for b in (before, now))
    return Difference(f"was trained for {had}, and is to have {gets}", "")


def _copy_given(request: TrainingRequest, data: CaptionedImages) -> None:
    """Put the text encoder that the request names into ``request.out``."""
    assert request.text_encoder is not None
    try:
        encoder = TextEncoder.from_source(request.text_encoder)
    except GeneratorError as error:
        raise RequestError(f"--text-encoder: {error}") from error
    facts = {"source": request.text_encoder, "seconds": 0.0, "images": 0, "validation": {}}
    facts |= cut_facts(encoder, data)
    clear(request.out)
    request.out.mkdir(parents=True, exist_ok=True)
    encoder.save_pretrained(request.out)
    write_json(request.out / RECORD, facts)


class CaptionCache:
    """Features of captions, kept by caption for data that come round again.

    Endless data are better encoded as they come. ``known`` captions are encoded in groups that
    never change, others alone. Where the known ones would take more than ``limit`` bytes none are
    kept, and those of a call are encoded together. Either way features do not depend on what was
    asked before; their last bits do depend on what is encoded beside them. The few that are not
    known (of an empty caption, of held-out pictures) are all kept.
    """

    def __init__(
        self, encoder: TextEncoder, known: Sequence[str] = (), limit: int = 1 << 30
    ) -> None:
        self._encoder = encoder
        self._known = list(dict.fromkeys(known))
        self._fit = len(self._known) * _bytes_each(encoder, self._known[:256]) <= limit
        self._place = {caption: i for i, caption in enumerate(self._known)}
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, captions: list[str]) -> TextFeatures:
        """Features of these captions, padded to the longest."""
        features = self._cached(captions) if self._fit else self._encoded_now(captions)
        parts = [features[caption] for caption in captions]
        lengths = torch.tensor([len(tokens) for tokens, _ in parts])
        tokens = torch.nn.utils.rnn.pad_sequence([t for t, _ in parts], batch_first=True)
        mask = torch.arange(tokens.shape[1])[None] < lengths[:, None]
        pooled = torch.stack([p for _, p in parts])
        return TextFeatures(tokens, pooled, mask.to(tokens.device), [0] * len(captions))

    def _cached(self, captions: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
        for caption in captions:
            if caption not in self._kept:
                place = self._place.get(caption)
                start = 0 if place is None else place - place % _GROUP
                group = self._known[start : start + _GROUP]
                self._kept |= self._encoded([caption] if place is None else group)
        return self._kept

    def _encoded_now(self, captions: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
        distinct = list(dict.fromkeys(captions))
        features: dict[str, tuple[Tensor, Tensor]] = {}
        for i in range(0, len(distinct), _AT_ONCE):
            features |= self._encoded(distinct[i : i + _AT_ONCE])
        return features

    def _encoded(self, captions: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
        features = self._encoder.encode(captions)
        lengths = features.mask.sum(1).tolist()
        return {
            caption: (features.tokens[i, : lengths[i]].clone(), features.pooled[i].clone())
            for i, caption in enumerate(captions)
        }


def _bytes_each(encoder: TextEncoder, captions: list[str]) -> float:
    """About how much the features of a caption take."""
    if not captions:
        return 0.0
    tokens = encoder.tokenizer(captions, truncation=True, verbose=False)["input_ids"]
    vectors = 1 + sum(map(len, tokens)) / len(captions)
    return vectors * encoder.width * 4  # float32
