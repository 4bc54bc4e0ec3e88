"""What networks compute in while they are trained."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from gandiff.experiments.training.precision import autocast_context, resolve_precision


def attend(fast: bool) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 16, 8, generator=draw).requires_grad_(True) for _ in range(3))
    with autocast_context("bfloat16" if fast else "float32", "cpu"):
        out = scaled_dot_product_attention(q, k, v)
        torch.autograd.backward(out.float().square().sum())
    assert q.grad is not None
    return out, q.grad


def test_attention_in_bfloat16_is_that_of_float32_up_to_rounding() -> None:
    (out, slope), (exact, exact_slope) = attend(True), attend(False)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, atol=0.02, rtol=0.02)
    torch.testing.assert_close(slope, exact_slope, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("asked", ["bfloat16", "float32"])
def test_the_fused_attention_whose_gradient_is_slow_in_bfloat16_is_off_there(asked: str) -> None:
    with autocast_context(asked, "cpu"):  # type: ignore[arg-type]
        assert torch.backends.cuda.flash_sdp_enabled() == (asked == "float32")
        assert torch.is_autocast_enabled("cpu") == (asked == "bfloat16")
    assert torch.backends.cuda.flash_sdp_enabled()
    assert not torch.is_autocast_enabled("cpu")


def test_what_is_asked_for_is_used() -> None:
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert resolve_precision("auto", "mps") == "float32"
