"""Muon: orthogonal updates of the size of AdamW's, and the two as one optimiser."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from gandiff.experiments.training.muon import Muon, Together, muon_and_adamw, orthogonal


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 8, 40), (2, 40, 8), (1, 16, 16), (4, 1, 9), (2, 5, 1)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_singular_values_become_about_1(shape: Sequence[int], scale: float) -> None:
    made = orthogonal(scale * drawn(*shape))
    values = torch.linalg.svdvals(made)
    assert made.shape == torch.Size(shape)
    # One value of a square matrix may be next to 0, from which five times do not lift it.
    well = values[:, : max(1, min(shape[1:]) - 2 * (shape[1] == shape[2]))]
    assert float(well.min()) > 0.6
    assert float(values.max()) < 1.3


def test_directions_stay_and_the_size_of_the_gradient_does_not_matter() -> None:
    matrix = drawn(1, 6, 20)
    made = orthogonal(matrix)
    torch.testing.assert_close(orthogonal(1000 * matrix), made, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(orthogonal(-matrix), -made)
    torch.testing.assert_close(orthogonal(matrix.mT), made.mT)
    left, _, right = torch.linalg.svd(matrix[0], full_matrices=False)
    assert float((made[0] * (left @ right)).sum() / 6) > 0.8  # near the nearest orthogonal matrix
    assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_those_of_one_shape_do_not_touch_each_other() -> None:
    together = orthogonal(drawn(5, 8, 12))
    for i, one in enumerate(drawn(5, 8, 12)):
        torch.testing.assert_close(orthogonal(one[None])[0], together[i])


def test_it_takes_the_steps_of_torchs_own() -> None:
    """torch.optim.Muon (2.9 and later) with the scale that matches AdamW's; it computes in bf16."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    ours, theirs = nn.Parameter(drawn(12, 30)), nn.Parameter(drawn(12, 30))
    one = Muon([{"params": [ours]}], lr=0.02, weight_decay=0.1, dtype=torch.bfloat16)
    other = torch.optim.Muon(
        [theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(5):
        ours.grad = drawn(12, 30, seed=step)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    assert float((ours - theirs).detach().norm() / (drawn(12, 30) - theirs).detach().norm()) < 0.02


def test_a_convolution_is_a_matrix() -> None:
    weight = nn.Parameter(torch.zeros(8, 4, 3, 3).contiguous(memory_format=torch.channels_last))
    weight.grad = drawn(8, 4, 3, 3)
    Muon([{"params": [weight]}], lr=1.0).step()
    values = torch.linalg.svdvals(weight.detach().flatten(1)) / (0.2 * 36**0.5)
    assert 0.6 < float(values.min()) < float(values.max()) < 1.3
    assert float((weight.detach() * weight.grad).sum()) < 0  # down the gradient


def test_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="two dimensions at least"):
        Muon([{"params": [nn.Parameter(torch.zeros(3))]}])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.middle(self.first(x).relu()).relu())
        return out


def trained(network: Small, optimizer: Together, steps: range) -> float:
    loss = torch.tensor(0.0)
    for step in steps:
        x = drawn(16, 4, seed=step)
        loss = (network(x) - x[:, :2].sin()).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return float(loss.detach())


def test_every_weight_has_one_optimiser_and_the_edges_have_adamw() -> None:
    network, text = Small(), nn.Linear(3, 3)
    both = muon_and_adamw(
        network, edges=("first", "last"), others=[{"params": list(text.parameters())}]
    )
    assert [id(p) for p in both.parts[0].param_groups[0]["params"]] == [id(network.middle.weight)]
    held = [id(p) for group in both.param_groups for p in group["params"]]
    everything = [*network.parameters(), *text.parameters()]
    assert sorted(held) == sorted(id(p) for p in everything)


def test_it_learns_and_resumes_bit_for_bit() -> None:
    whole = Small()
    optimizer = muon_and_adamw(whole, edges=("first", "last"))
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    before = trained(whole, optimizer, range(1))
    trained(whole, optimizer, range(1, 40))
    saved, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(whole.state_dict())
    after = trained(whole, optimizer, range(40, 80))
    assert after < 0.2 * before
    resumed = Small()
    again = muon_and_adamw(resumed, edges=("first", "last"))
    resumed.load_state_dict(weights)
    again.load_state_dict(saved)
    trained(resumed, again, range(40, 80))
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_state_of_another_optimiser_is_refused() -> None:
    network = Small()
    adamw = torch.optim.AdamW(network.parameters())
    with pytest.raises(KeyError):
        muon_and_adamw(network).load_state_dict(adamw.state_dict())
