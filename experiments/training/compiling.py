"""Networks that are compiled for the machine at hand (``--compile``)."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

from gandiff.common.errors import RequestError


def check_compiler(device: str) -> None:
    """Raise ``RequestError`` where torch cannot compile for a device, which a tiny function shows.

    Else it would be known only after the data, the text encoder and the autoencoder.
    """
    x = torch.ones(8, device=device)
    try:
        made = torch.compile(_tiny)(x)
    except Exception as error:  # each backend has errors of its own
        needs = "a C++ compiler (g++ or clang)" if device == "cpu" else "triton and a C compiler"
        first = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise RequestError(
            f"--compile: torch.compile does not work for {device}: {first.strip()}; it needs "
            f"{needs}; install that, or leave out --compile"
        ) from error
    if not torch.allclose(made, _tiny(x)):
        raise RequestError(
            f"--compile: what torch.compile makes for {device} computes wrong numbers; leave out "
            "--compile"
        )


def _tiny(x: torch.Tensor) -> torch.Tensor:
    return x.sin() * 2 + x


def compiled(network: nn.Module, *, wanted: bool) -> Any:
    """A network to call in training: the same weights, by compiled code if that is wanted.

    Shapes are fixed: each batch of a training has the same.
    """
    if not wanted:
        return network
    # Remarks about code of libraries, which is compiled all the same.
    for name in ("_dynamo", "_inductor", "utils.cpp_extension"):
        logging.getLogger(f"torch.{name}").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"torch\.(_dynamo|_inductor|_functorch)")
    return torch.compile(network, dynamic=False)
