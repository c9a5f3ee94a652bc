"""The six-level loss and the IoU that training shows, against numbers worked out by hand."""

import math

import pytest
import torch

from cstm.runtime.overlap import mask_iou
from cstm.training.loss import LEVEL_WEIGHTS, mask_loss


def maps(value: float, sides=(1, 2, 4, 8, 16, 32)) -> list[torch.Tensor]:
    return [torch.full((1, side, side), value) for side in sides]


def test_an_undecided_network_pays_log_two_and_half_as_much_again_for_what_is_there():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    assert mask_loss(maps(0.0), masks).item() == pytest.approx(1.5 * math.log(2), rel=1e-6)  # betas sum to 1.5
    assert mask_loss(maps(0.0), ~masks).item() == pytest.approx(1.5 * 1.5 * math.log(2), rel=1e-6)


def test_a_mean_over_pixels_worked_out_by_hand():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[0, :8] = True  # a quarter of the rows; of the two coarsest maps, nearest takes row 0 of 1 and of 2
    logit = 0.7
    there, absent = -1.5 * math.log(1 / (1 + math.exp(-logit))), -math.log(1 - 1 / (1 + math.exp(-logit)))
    shares = (1.0, 0.5, 0.25, 0.25, 0.25, 0.25)
    expected = sum(b * (s * there + (1 - s) * absent) for b, s in zip(LEVEL_WEIGHTS, shares, strict=True))
    assert mask_loss(maps(logit), masks).item() == pytest.approx(expected, rel=1e-5)


def test_the_finest_level_counts_ten_times_as_much():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    wrong_at = []
    for level in range(6):
        responses = maps(-20.0)
        responses[level] = responses[level] * -1
        wrong_at.append(mask_loss(responses, masks).item())
    assert wrong_at == pytest.approx([2.0] * 5 + [20.0], rel=1e-4)


def test_huge_logits_give_a_finite_loss_and_gradient_even_in_half_precision():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[:, :4] = True
    responses = [response.to(torch.float16).requires_grad_() for response in maps(6e4)]
    loss = mask_loss(responses, masks)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(response.grad.isfinite().all() for response in responses)


def test_iou_counts_pixels_above_zero_and_calls_two_empty_masks_equal():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2] = True
    response = torch.full((2, 4, 4), -1.0)
    response[0, 1:] = 1.0
    assert mask_iou(response > 0, masks).tolist() == [pytest.approx(4 / 16), 1.0]
