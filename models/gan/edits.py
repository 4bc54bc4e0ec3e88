"""What the GAN does with a picture: image to image, inpainting, and painting in a region.

All of it goes by inversion, which loses something: what an edit within a mask made is kept beside
the picture in which the known pixels are put back.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gandiff.models.compositing import composited
from gandiff.models.gan.config import replaced_levels
from gandiff.models.gan.inversion import (
    PRIOR,
    UNCAPTIONED,
    Fit,
    Freedom,
    Wanted,
    draw_starts,
    invert,
)
from gandiff.models.gan.model import TextToImageGan, to_pixels
from gandiff.models.gan.painting import painted, switched
from gandiff.models.gan.side_by_side import side_by_side
from gandiff.models.gan.units import Switch
from gandiff.models.generator import GenerationRequest
from gandiff.models.text import TextFeatures

STRENGTH = 0.75  # of image to image, where none is asked for
_KEPT_BYTES = 2**28  # of pictures that inversions made; their styles are smaller
TOLERANCE = 0.1  # of 2: where the picture and the new caption differ by more, the caption decides


class Edited(NamedTuple):
    """An edit: the picture, what it was before known pixels were put back, and how many evaluations
    of the network it took.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    uncomposited: UInt8[np.ndarray, "h w 3"] | None
    evaluations: int


class _Captioned(NamedTuple):
    """Features of a prompt, and pictures that the noise of a request gives with it."""

    text: TextFeatures
    starts: tuple[Float[Tensor, "n z"], Float[Tensor, "n 3 h w"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Editor:
    """Edits by one GAN, in float32. ``steps`` of descent follow a search among ``candidates``
    noises, truncated by ``psi``; ``switch`` are the units that paint, without which the prompt
    does. ``found`` is where inversions are kept for other edits of the same picture.
    """

    gan: TextToImageGan
    steps: int
    candidates: int
    psi: float = 1.0
    switch: Switch | None = None
    found: dict[Hashable, Any] | None = None
    # Pictures of the empty caption, once they are needed; copies by ``replace`` share them.
    bank: list[_Captioned] = dataclasses.field(default_factory=list, repr=False)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)

    def edit_all(self, requests: Sequence[GenerationRequest]) -> list[Edited]:
        """``edit`` for each request, in order; see ``side_by_side``."""
        return side_by_side(self.edit, requests, self.gan.like.device)

    def edit(self, request: GenerationRequest) -> Edited:
        """Do what a request asks for; it must have the pictures that its task takes."""
        work = {
            "image_to_image": self._image_to_image,
            "inpaint": self._inpaint,
            "paint": self._paint if self.switch is None else self._switch,
        }
        return work[request.task](request)

    def invert(self, picture: UInt8[np.ndarray, "h w 3"]) -> Fit:
        """What the GAN makes nearest to a picture of which no caption is known.

        It starts from pictures of the empty caption, the same for every picture, and what attention
        reads descends along with the styles.
        """
        free = Freedom(words=True)
        return self._found(
            ("inverted", picture.tobytes(), self.steps),
            lambda: invert(self.gan, self._wanted(picture), *self._uncaptioned(), self.steps, free),
        )

    def _found(self, what: Hashable, search: Callable[[], Fit]) -> Fit:
        """What a search finds, or found before; once there is much of it, no more is kept."""
        if self.found is None:
            return search()
        fit: Fit | None = self.found.get(what)
        if fit is None:
            fit = search()
            if len(self.found) < _KEPT_BYTES // (4 * fit.picture.numel()):
                self.found[what] = fit
        return fit

    def _image_to_image(self, request: GenerationRequest) -> Edited:
        """The noise that brings the new prompt nearest to the picture, and at the finest levels,
        of which strength leaves so many, styles that follow the picture itself.

        More strength tries fewer noises, and moves the chosen one less. All of it leaves the seed's
        own noise, and nothing of the picture.
        """
        assert request.init_image is not None
        strength = STRENGTH if request.strength is None else request.strength
        if strength == 1:
            _, (_, drawn) = self._starts(request, self.gan.noise([request.seed]))
            return Edited(to_pixels(drawn)[0], None, 1)
        wanted = dataclasses.replace(self._wanted(request.init_image), tolerance=TOLERANCE)
        freedom = Freedom(first_free=self._replaced(strength), prior=PRIOR / (1 - strength))
        fit = self._fit(request, wanted, freedom, math.ceil((1 - strength) * self.candidates))
        return Edited(to_pixels(fit.picture)[0], None, fit.evaluations)

    def _inpaint(self, request: GenerationRequest) -> Edited:
        """What the prompt makes that fits the known pixels, put between them."""
        fit = self._fitting(request)
        return self._composited(request, fit.picture, fit.evaluations)

    def _paint(self, request: GenerationRequest) -> Edited:
        """The picture outside the mask and the prompt inside, in the features of every level."""
        assert request.init_image is not None
        outside, inside = self.invert(request.init_image), self._fitting(request)
        with torch.no_grad():
            made = painted(self.gan.net, outside, inside, self._region(request) * _share(request))
        return self._composited(request, made, outside.evaluations + inside.evaluations + 2)

    def _switch(self, request: GenerationRequest) -> Edited:
        """The picture with units switched inside the mask."""
        assert request.init_image is not None
        assert self.switch is not None
        fit = self.invert(request.init_image)
        change = switched(self.switch, self._region(request), _share(request))
        with torch.no_grad():
            made = self.gan.net.synthesise(fit.styles, fit.text, change)
        return self._composited(request, made, fit.evaluations + 1)

    def _fitting(self, request: GenerationRequest) -> Fit:
        """The prompt's picture that fits what is known; strength ties so many levels to it."""
        assert request.init_image is not None
        wanted = self._wanted(request.init_image)
        wanted = dataclasses.replace(wanted, known=1 - self._region(request))
        tied = 0
        if request.task == "inpaint" and request.strength is not None:
            tied = self._replaced(request.strength)
        kept = (wanted.picture * wanted.known).cpu().numpy().tobytes()
        asked = (request.prompt, request.seed, tied, self.psi, self.candidates, self.steps)
        return self._found(
            ("fitting", wanted.known.cpu().numpy().tobytes(), kept, *asked),
            lambda: self._fit(request, wanted, Freedom(first_free=tied), self.candidates),
        )

    def _fit(
        self, request: GenerationRequest, wanted: Wanted, freedom: Freedom, candidates: int
    ) -> Fit:
        generator = torch.Generator().manual_seed(request.seed)
        noise = torch.randn(candidates, self.gan.config.z_width, generator=generator)
        fit = invert(self.gan, wanted, *self._starts(request, noise), self.steps, freedom)
        return dataclasses.replace(fit, evaluations=fit.evaluations + candidates)

    def _starts(self, request: GenerationRequest, noise: Float[Tensor, "n z"]) -> _Captioned:
        text = self._features(request.prompt)
        return _Captioned(text, draw_starts(self.gan, text, noise, self.psi))

    def _replaced(self, strength: float) -> int:
        return replaced_levels(strength, self.gan.config.resolution)

    def _uncaptioned(self) -> _Captioned:
        text = self._features("")
        with self.lock:  # who comes second waits for it
            if not self.bank:
                # All are kept.
                count = UNCAPTIONED // max(1, self.gan.config.resolution // 64) ** 2
                noise = self.gan.noise(range(max(16, count)))
                self.bank.append(_Captioned(text, draw_starts(self.gan, text, noise)))
            return self.bank[0]

    def _features(self, prompt: str) -> TextFeatures:
        """Features of one prompt that can take part in a descent."""
        with self.lock:  # tokenizers serve one thread at a time
            tokens, pooled, mask, truncated = self.gan.text([prompt])
        return TextFeatures(tokens, pooled, mask, truncated)

    def _wanted(self, picture: UInt8[np.ndarray, "h w 3"]) -> Wanted:
        values = torch.from_numpy(picture.copy()).to(self.gan.like).permute(2, 0, 1)[None]
        return Wanted(picture=values / 127.5 - 1, known=torch.ones_like(values[:, :1]))

    def _region(self, request: GenerationRequest) -> Float[Tensor, "1 1 h w"]:
        assert request.mask is not None
        return torch.from_numpy(request.mask == 255).to(self.gan.like)[None, None]

    def _composited(
        self, request: GenerationRequest, made: Float[Tensor, "1 3 h w"], evaluations: int
    ) -> Edited:
        assert request.init_image is not None
        assert request.mask is not None
        before = to_pixels(made)[0]
        whole = composited(before, request.init_image, request.mask)
        return Edited(whole, before, evaluations)


def _share(request: GenerationRequest) -> float:
    return 1.0 if request.strength is None else request.strength
