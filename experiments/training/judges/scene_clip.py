"""Training of the scene CLIP, a judge of its own: an open_clip model with a small vocabulary.

Saved as a directory that ``open_clip.create_model_from_pretrained("local-dir:...")`` reads. The
image tower also learns to name the scene's attributes while it trains; those heads are thrown away,
they only speed it up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gandiff.evaluate.extractors.scenes import heads_of
from gandiff.experiments.scenes.captions import captions
from gandiff.experiments.scenes.facts import LABELS, fits
from gandiff.experiments.scenes.mismatches import mismatched
from gandiff.experiments.scenes.suite import training_batch
from gandiff.experiments.training.averaging import anneal, descend, to_tensor
from gandiff.experiments.training.judges.shared import (
    degraded_batch,
    judge_seeds,
    save_judge,
    targets,
)
from gandiff.experiments.training.loop import Loop
from gandiff.experiments.training.request import TrainingRequest
from gandiff.models.tokenizer import build_tokenizer, token_ids

_WIDTH, _BATCH = 64, 192
_CAPTIONS = 16_384  # to learn words from
# Pictures enter as (x / 255 - 0.5) / 0.5, bilinear to 32 px where they are not.
_PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


def clip_config(tokenizer: Any) -> dict[str, Any]:
    """The open_clip model config."""
    return {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": 32,
            "layers": 3,
            "width": _WIDTH,
            "head_width": 16,
            "mlp_ratio": 2.0,
            "patch_size": 4,
        },
        "text_cfg": {
            "context_length": tokenizer.model_max_length,
            "vocab_size": len(tokenizer),
            # Whatever the name, open_clip reads the tokenizer beside the weights.
            "hf_tokenizer_name": "scene-clip",
            "tokenizer_kwargs": {"clean": "lower"},
            "width": _WIDTH,
            "heads": 4,
            "layers": 2,
        },
    }


def train_clip(request: TrainingRequest) -> Path:
    """Train with the symmetric contrastive loss (Radford et al. 2021, figure 3) and save."""
    torch.manual_seed(request.seed)
    words = training_batch(judge_seeds("judge_train", request.seed, 1 << 22, _CAPTIONS), 8).captions
    tokenizer = build_tokenizer(words)
    config = clip_config(tokenizer)
    device = request.device
    model = build_clip(config).to(device)
    heads = heads_of(LABELS)
    extra = nn.ModuleDict({k: nn.Linear(config["embed_dim"], n) for k, n in heads.items()})
    extra = extra.to(device)
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *extra.parameters()], lr=1e-3, weight_decay=1e-3
    )
    size = max(request.batch_size, _BATCH)
    parts = {"model": model, "heads": extra, "optimizer": optimizer}
    loop = Loop(request, "scene CLIP", parts, size=size)

    def step() -> tuple[int, dict[str, float]]:
        anneal(optimizer, loop.fraction, loop.progress.steps, start=1e-3, end=1e-5)
        pictures, batch = degraded_batch(request, loop.progress.position, size)
        image = model.encode_image(pictures)
        text = model.encode_text(token_ids(tokenizer, batch.captions).to(device))
        wanted = targets(batch.scenes)
        losses = [F.cross_entropy(head(image), wanted[k].to(device)) for k, head in extra.items()]
        named = torch.stack(losses).mean()  # over the attributes
        contrast = contrastive(image, text, model.logit_scale.exp().clamp(max=100))
        descend(optimizer, contrast + named)
        return size, {"contrastive": float(contrast.detach()), "attributes": float(named.detach())}

    model.train()
    loop.run(step)
    record = loop.record(batch_size=size, validation=check_clip(model, tokenizer, request))
    tokenizer.save_pretrained(request.out)
    # An open_clip local directory.
    facts = {"model_cfg": config, "preprocess_cfg": _PREPROCESS}
    save_judge(request.out, model, facts, record, prefix="open_clip_")
    return request.out


def build_clip(config: dict[str, Any]) -> Any:
    """An open_clip model with fresh weights."""
    from open_clip.model import CLIP

    ours = ("hf_tokenizer_name", "tokenizer_kwargs")
    text = {name: value for name, value in config["text_cfg"].items() if name not in ours}
    return CLIP(
        config["embed_dim"],
        config["vision_cfg"],
        {
            name: text[name]
            for name in text
            if name not in ("hf_tokenizer_name", "tokenizer_kwargs")
        },
    )


def contrastive(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over the batch's cosine matrix."""
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    own = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))


@torch.inference_mode()
def check_clip(
    model: Any, tokenizer: Any, request: TrainingRequest, n: int = 2000
) -> dict[str, float]:
    """How often a picture's own caption beats one that differs in one fact and does not fit."""
    model.eval()
    seeds = judge_seeds("judge_validation", request.seed, 0, n)
    batch = training_batch(seeds, request.resolution)
    other = mismatched(batch.facts, np.random.default_rng(request.seed))
    certain = ~fits(other, batch.scenes)
    image = F.normalize(model.encode_image(to_tensor(batch.images, request.device)), dim=-1)
    own, mismatch = (
        F.normalize(model.encode_text(token_ids(tokenizer, texts).to(request.device)), dim=-1)
        for texts in (batch.captions, captions(other, seeds))
    )
    better = ((image * own).sum(1) > (image * mismatch).sum(1)).cpu().numpy()[certain]
    return {
        "own caption beats a one-fact mismatch": float(better.mean()),
        "mean cosine with own caption": float((image * own).sum(1).mean()),
        "mean cosine with a mismatch": float((image * mismatch).sum(1).mean()),
    }
