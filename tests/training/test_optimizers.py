"""AdamW and the learning-rate schedules."""

import pytest
import torch
from torch import nn

from pofxy.training.optimizers import AdamW, learning_rate_factor


@pytest.mark.slow
def test_a_step_is_that_of_torch_bit_for_bit():
    nets = [nn.Linear(5, 3), nn.Linear(5, 3)]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.rand(8, 5, generator=torch.Generator().manual_seed(0))
    ours = AdamW(list(nets[0].parameters()), (0.8, 0.95), 0.1)
    reference = torch.optim.AdamW(nets[1].parameters(), lr=1.0, betas=(0.8, 0.95), weight_decay=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(reference, lambda step: 0.01 * learning_rate_factor("cosine", step / 5))
    for step in range(5):
        for net in nets:
            net(x).square().mean().backward()
        ours.step(0.01 * learning_rate_factor("cosine", step / 5))
        reference.step()
        reference.zero_grad()
        schedule.step()
        for parameter, expected in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            assert torch.equal(parameter, expected)
            assert parameter.grad is None


def test_parameters_without_a_gradient_stay():
    used = nn.Parameter(torch.ones(2))
    unused = nn.Parameter(torch.ones(2))
    optimizer = AdamW([unused, used], (0.9, 0.999), 0.5)
    used.sum().backward()
    optimizer.step(0.1)
    assert torch.equal(unused, torch.ones(2))
    assert (used < 1).all()


def test_schedules_start_and_end_where_they_should():
    assert learning_rate_factor("constant", 0.7) == 1
    assert learning_rate_factor("cosine", 0) == 1
    assert learning_rate_factor("cosine", 1) == 0
    assert learning_rate_factor("one_cycle", 0) == 0
    assert learning_rate_factor("one_cycle", 0.25) == 1
    assert learning_rate_factor("one_cycle", 1) == pytest.approx(0)
    with pytest.raises(ValueError, match="unknown schedule 'linear'"):
        learning_rate_factor("linear", 0)
