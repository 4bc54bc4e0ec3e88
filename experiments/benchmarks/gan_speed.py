"""How fast the GAN trains and paints on this CPU.

Training is compared with the same networks written the usual way, painting with the bare
convolutions and matrix products that it is made of.

    python -m gandiff.experiments.benchmarks.gan_speed
    python -m gandiff.experiments.benchmarks.gan_speed --resolutions 32 --pairs 15

"The usual way" is what most implementations do: convolutions modulated by giving each picture
weights of its own (grouped convolutions), upsampling by inserting zeros and filtering, tensors in
NCHW order. A step updates both networks by the relativistic loss, with R1 and R2 every eighth
time; a training of the default recipe does more in each (wrong captions, the energy score and the
second pictures that it needs, data, text encoder), and shows fewer images a second.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gandiff.experiments.benchmarks.turns import by_turns, seconds_of
from gandiff.experiments.training.averaging import keep_freed_memory
from gandiff.experiments.training.precision import autocast_context, resolve_precision
from gandiff.models.gan import layers, synthesis
from gandiff.models.gan.config import gan_config
from gandiff.models.gan.discriminator import Discriminator
from gandiff.models.gan.losses import relativistic
from gandiff.models.gan.synthesis import GeneratorNetwork
from gandiff.models.text import TextFeatures

_TEXT, _TOKENS, _INTERVAL = 96, 16, 8
_PRODUCTS = ("aten.convolution.", "aten.mm.", "aten.addmm.", "aten.bmm.", "aten.baddbmm.")


def grouped_forward(
    self: layers.ModulatedConv, x: Tensor, w: Tensor
) -> tuple[Tensor, Tensor | None]:
    """A modulated convolution by weights of each picture's own (Karras et al. 2020, figure 2)."""
    n, _, height, width = x.shape
    style = self.affine(w).to(x.dtype)
    weight = (self.weight * self.scale)[None] * style[:, None, :, None, None]
    one: Tensor | None = None
    if self.demodulate:
        factor = torch.rsqrt(weight.float().square().sum((2, 3, 4)) + 1e-8)
        weight = weight * factor.to(weight.dtype)[:, :, None, None, None]
        one = torch.ones_like(factor)[:, :, None, None].to(x.dtype)
    y = F.conv2d(
        x.reshape(1, -1, height, width),
        weight.reshape(-1, *weight.shape[2:]),
        padding=self.padding,
        groups=n,
    )
    return y.view(n, -1, height, width), one


def zero_insertion(x: Tensor) -> Tensor:
    """Twice the size: zeros between pixels, then the [1, 3, 3, 1] filter."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    line = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (line[:, None] * line)[None, None].repeat(c, 1, 1, 1)
    padded = F.pad(spread.view(n, c, 2 * h, 2 * w), (2, 1, 2, 1))
    return F.conv2d(padded, kernel, groups=c)


@contextlib.contextmanager
def the_usual_way() -> Iterator[None]:
    """Let the layers compute as most implementations do; the results are the same."""
    with (
        mock.patch.object(layers.ModulatedConv, "forward", grouped_forward),
        mock.patch.object(layers, "double", zero_insertion),
        mock.patch.object(synthesis, "double", zero_insertion),
    ):
        yield


class Training:
    """Both networks and a full step on fixed inputs."""

    def __init__(self, resolution: int, batch: int, dtype: Any, *, usual: bool = False) -> None:
        torch.manual_seed(0)
        config = gan_config(resolution, _TEXT)
        self.g, self.d = GeneratorNetwork(config), Discriminator(config)
        if usual:
            for net in (self.g, self.d):
                net.to(memory_format=torch.contiguous_format)
        adam: dict[str, Any] = {"lr": 2e-3, "betas": (0.0, 0.99), "fused": True}
        self.g_opt = torch.optim.Adam(self.g.parameters(), **adam)
        self.d_opt = torch.optim.Adam(self.d.parameters(), **adam)
        self.usual, self.batch, self.steps = usual, batch, 0
        precision = resolve_precision(dtype, "cpu")
        self.autocast = functools.partial(autocast_context, precision, "cpu")
        self.z, self.text = torch.randn(batch, config.z_width), toy_text(batch)
        self.real = torch.randn(batch, 3, resolution, resolution)

    def round(self) -> None:
        """As many updates of each network as share one taking of the penalties."""
        with the_usual_way() if self.usual else contextlib.nullcontext():
            for _ in range(_INTERVAL):
                self._step()

    def _step(self) -> None:
        n, text = self.batch, self.text
        with self.autocast():
            fake = self.g(self.z, text).float()
        penalise = self.steps % _INTERVAL == 0
        images = torch.cat([self.real, fake.detach()]).requires_grad_(penalise)
        with self.autocast():
            h = self.d.features(images)
        logits = self.d.judge(h, text.pooled.repeat(2, 1))
        loss = relativistic(logits[:n], logits[n:], n)
        if penalise:
            (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            loss = loss + slope.float().square().sum() / n
        _update(self.d_opt, loss)
        self.d.requires_grad_(False)
        with self.autocast():
            h = self.d.features(fake)
        _update(self.g_opt, relativistic(self.d.judge(h, text.pooled), logits[:n].detach(), n))
        self.d.requires_grad_(True)
        self.steps += 1


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


def toy_text(batch: int) -> TextFeatures:
    """Random features in the place of a text encoder's."""
    mask = torch.ones(batch, _TOKENS, dtype=torch.bool)
    return TextFeatures(
        torch.randn(batch, _TOKENS, _TEXT), torch.randn(batch, _TEXT), mask, [0] * batch
    )


def training_rows(resolution: int, batch: int, pairs: int) -> Iterator[str]:
    """Images a second, and the ratio to the usual way, with its middle half."""
    usual = Training(resolution, batch, "float32", usual=True)
    for dtype in ("float32", "bfloat16"):
        ours = Training(resolution, batch, dtype)
        sides = [functools.partial(seconds_of, one.round) for one in (ours, usual)]
        a, b = by_turns(sides, pairs, f"training at {resolution} px, {dtype}")
        rate, other = (batch * _INTERVAL / np.median(t) for t in (a, b))
        low, middle, high = np.quantile(b / a, [0.25, 0.5, 0.75])
        yield (
            f"{resolution:>4} px  {dtype:<9} {rate:>8.0f} images/s   usual way, float32 "
            f"{other:>7.0f}   {middle:.2f} times ({low:.2f}-{high:.2f})"
        )


def products_of(net: nn.Module, z: Tensor, text: TextFeatures) -> list[Callable[[], Any]]:
    """Every convolution and matrix product of one call, each to be done again alone.

    Not for inference mode, in which one sees what is asked for and not what that is made of.
    """
    calls: list[Callable[[], Any]] = []
    Mode: Any = TorchDispatchMode  # its signatures are untyped

    class Noting(Mode):  # type: ignore[misc]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            if str(func).startswith(_PRODUCTS):
                kept = [a.detach().clone() if isinstance(a, Tensor) else a for a in args]
                calls.append(functools.partial(func, *kept))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Noting():
        net(z, text)
    return calls


def generation_row(resolution: int, batch: int, pairs: int, *, compiled: bool) -> str:
    """How long a batch takes, over the bare sum of its convolutions and matrix products."""
    torch.manual_seed(0)
    net: nn.Module = GeneratorNetwork(gan_config(resolution, _TEXT)).eval().requires_grad_(False)
    z, text = torch.randn(batch, 64), toy_text(batch)
    products = products_of(net, z, text)
    with torch.inference_mode():
        run: Any = torch.compile(net) if compiled else net

        def multiply() -> None:
            for product in products:
                product()

        works = (functools.partial(run, z, text), multiply)
        sides = [functools.partial(seconds_of, work) for work in works]
        a, b = by_turns(sides, pairs, f"generation at {resolution} px")
    how = "compiled" if compiled else "eager"
    return (
        f"{resolution:>4} px  {how:<9} {batch / np.median(a):>8.0f} images/s   "
        f"{np.median(a / b):.2f} times its {len(products)} bare products"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="How fast the GAN trains and paints.")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--compiled", action="store_true", help="also compiled generation")
    chosen = parser.parse_args(argv)
    keep_freed_memory()
    print(f"training, batch {chosen.batch}, {torch.get_num_threads()} threads")
    for resolution in chosen.resolutions:
        for row in training_rows(resolution, chosen.batch, chosen.pairs):
            print(row, flush=True)
    print("generation, batch 64, float32")
    for resolution in chosen.resolutions:
        for compiled in (False, True) if chosen.compiled else (False,):
            print(generation_row(resolution, 64, chosen.pairs, compiled=compiled), flush=True)


if __name__ == "__main__":
    main()
