"""CLIP models (Radford et al. 2021) through open_clip: images and texts in one space."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

from gandiff.common.errors import MetricError
from gandiff.common.files import expanded, file_sha256, read_json
from gandiff.common.hub_cache import quick_hub
from gandiff.common.intact import check_intact, check_vocabulary
from gandiff.common.names import did_you_mean
from gandiff.evaluate.extractors.published import missing_file, missing_of_hub
from gandiff.evaluate.extractors.torch_inference import brief, exact_inference, read_files
from gandiff.evaluate.features.encoders import ImageTextExtractor, TextBatch
from gandiff.evaluate.features.weights import Missing

DEFAULT_MODEL = "ViT-B-32/openai"
SCENES = Path(__file__).resolve().parent.parent / "pretrained" / "scene-clip"
_LOCAL = "local-dir:"
_CACHE = expanded("~/.cache/clip")  # where open_clip keeps what comes from no hub
_WEIGHTS = (  # in the order in which open_clip looks for them
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
# open_clip carries the quirks of a published tag only if they are named when a file takes its place
_PREPROCESS = ("mean", "std", "interpolation", "resize_mode")


class Clip(ImageTextExtractor):
    """One open_clip model. Features are not normalised: the Fréchet distance takes them as they
    are.
    """

    def __init__(self, name: str, model: str, source: str | None, device: str) -> None:
        import open_clip

        self.name = name
        self._model_name = model
        self._device = device
        chosen, options, weights = _resolve(model, source)
        on_disk = chosen.startswith("local-dir:")
        try:
            with contextlib.nullcontext() if on_disk else quick_hub():
                self._network, _, self._preprocess = open_clip.create_model_and_transforms(
                    chosen, device=device, **options
                )
                self._tokenizer = open_clip.get_tokenizer(chosen)
        except Exception as error:  # every file format has errors of its own
            raise MetricError(
                f"open_clip cannot load {chosen!r} from {weights}: {brief(error)}"
            ) from error
        self._network.eval()
        self._sha256 = file_sha256(weights)
        self.files = read_files(weights)

    def protocol(self) -> dict[str, Any]:
        """Resize and crop are those that open_clip keeps with the model."""
        settings = self._network.visual.preprocess_cfg
        size = settings["size"]
        side = size if isinstance(size, int) else "x".join(str(n) for n in size)
        return {
            "encoder": "clip",
            "model": self._model_name,
            "weights_sha256": self._sha256,
            "resize": f"open_clip_{settings['interpolation']}_{side}_{settings['resize_mode']}",
            "crop": "centre" if settings["resize_mode"] == "shortest" else "none",
        }

    def prepare(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "3 h w"]:
        """Resized, cropped and normalised as open_clip keeps it with the model."""
        return cast("np.ndarray[Any, Any]", self._preprocess(Image.fromarray(image)).numpy())

    def encode(self, prepared: Sequence[Shaped[np.ndarray, ...]]) -> Float[np.ndarray, "n d"]:
        """Image embeddings."""
        import torch

        batch = torch.from_numpy(np.stack(prepared)).to(self._device)
        with exact_inference():
            found = self._network.encode_image(batch)
        return cast("np.ndarray[Any, Any]", found.float().cpu().numpy())

    def texts(self, prompts: Sequence[str]) -> TextBatch:
        """Text embeddings; a prompt that is too long loses its end but keeps the end token."""
        rows, truncated = [], []
        for start in range(0, len(prompts), 64):
            batch = list(prompts[start : start + 64])
            tokens = self._tokenizer(batch)
            length = tokens.shape[1]
            # With room for twice as many tokens the first ``length`` differ exactly where the end
            # was cut off: the cut text has its end token there.
            roomy = self._tokenizer(batch, context_length=2 * length)[:, :length]
            truncated.append((tokens != roomy).any(dim=1).numpy())
            with exact_inference():
                rows.append(
                    self._network.encode_text(tokens.to(self._device)).float().cpu().numpy()
                )
        return TextBatch(features=np.concatenate(rows), truncated=np.concatenate(truncated))


def open_encoder(*, name: str, variant: str, source: str | None, device: str) -> Clip:
    """``variant`` is NAME/TAG, ``scenes`` or local-dir:FOLDER; ``source`` a file or folder with
    its weights.
    """
    return Clip(name, variant or DEFAULT_MODEL, source, device)


def missing(*, variant: str, source: str | None) -> Missing | None:
    """What is missing of the weights on this machine."""
    model = variant or DEFAULT_MODEL
    if source is not None or model == "scenes":
        return None
    if model.startswith(_LOCAL):
        _folder(Path(model.removeprefix(_LOCAL)))
        return None
    what, option = f"the weights of the CLIP model {model}", f"clip:{model}=PATH"
    settings = _pretrained(model)
    if hub := settings.get("hf_hub"):
        repo, _, file = str(hub).rpartition("/")
        safe = f"{file.rpartition('.')[0]}.safetensors"
        return missing_of_hub(repo, filter(None, (file, safe, *_WEIGHTS)), what, option)
    url = str(settings.get("url"))
    return missing_file(_CACHE / url.rpartition("/")[2], url, what, option)


def _resolve(model: str, source: str | None) -> tuple[str, dict[str, Any], Path]:
    """What to call open_clip with, and the weights file that it will read."""
    if source is not None and Path(source).is_dir():
        return _folder(Path(source))
    if model == "scenes":
        return _folder(SCENES)
    if model.startswith(_LOCAL):
        return _folder(Path(model.removeprefix(_LOCAL)))
    return _published(model, source)


def _folder(folder: Path) -> tuple[str, dict[str, Any], Path]:
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise MetricError(f"{folder} is no open_clip model: {config.name} is missing")
    read = (config.name, *_WEIGHTS, "tokenizer.json", "tokenizer_config.json")
    check_intact((folder / name for name in read if (folder / name).is_file()), MetricError)
    try:
        text = read_json(config, MetricError)["model_cfg"].get("text_cfg", {})
    except (KeyError, AttributeError) as error:
        raise MetricError(f"{config} has no 'model_cfg'") from error
    if "hf_tokenizer_name" in text and (folder / "tokenizer_config.json").is_file():
        check_vocabulary(folder, MetricError)
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return f"{_LOCAL}{folder}", {"require_pretrained": True}, folder / name
    raise MetricError(f"{folder} holds no CLIP weights; {_WEIGHTS[0]} is missing")


def _pretrained(model: str) -> dict[str, Any]:
    """What open_clip says of the published weights NAME/TAG; ``MetricError`` for unknown ones."""
    import open_clip

    name, _, tag = model.partition("/")
    if name not in open_clip.list_models():
        known = open_clip.list_models()
        raise MetricError(f"open_clip has no model {name!r}{did_you_mean(name, known)}")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise MetricError(f"open_clip has no weights {tag!r} for {name}{did_you_mean(tag, tags)}")
    return cast("dict[str, Any]", open_clip.get_pretrained_cfg(name, tag))


def _published(model: str, source: str | None) -> tuple[str, dict[str, Any], Path]:
    import open_clip

    name, _, tag = model.partition("/")
    settings = _pretrained(model)
    # The tag's activation, whatever the architecture's default: open_clip itself only warns.
    quick = {"force_quick_gelu": bool(settings.get("quick_gelu", False))}
    if source is not None:
        kept = {f"image_{key}": settings[key] for key in _PREPROCESS if settings.get(key)}
        return name, {"pretrained": source, **kept, **quick}, Path(source)
    try:
        with quick_hub():
            weights = Path(open_clip.download_pretrained(settings))
    except Exception as error:  # the hub client has a tree of errors of its own
        lacking = missing(variant=model, source=None)
        if lacking is None:
            raise MetricError(f"open_clip cannot load {model!r}: {brief(error)}") from error
        raise lacking.error(type(error).__name__) from error
    return name, {"pretrained": tag, **quick}, weights
