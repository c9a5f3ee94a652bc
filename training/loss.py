"""The six-level loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F

POSITIVE_WEIGHT = 1.5  # alpha
LEVEL_WEIGHTS = (0.1, 0.1, 0.1, 0.1, 0.1, 1.0)  # beta, coarse to fine


def mask_loss(responses: list[torch.Tensor], masks: torch.Tensor) -> torch.Tensor:
    """The loss of CSTM's supplement: sum over levels of beta_i times the mean over pixels of
    -alpha Y log s(P) - (1 - Y) log(1 - s(P)).

    responses: six logit maps [B,h,w], coarse to fine, of any float type; masks: bool or float [B,R,R], taken at each
    level's size by nearest neighbour. Returns a float32 scalar.
    """
    masks = masks.float()
    alpha = masks.new_tensor(POSITIVE_WEIGHT)
    losses = []
    for response, beta in zip(responses, LEVEL_WEIGHTS, strict=True):
        truth = F.interpolate(masks[:, None], response.shape[-2:], mode="nearest")[:, 0]
        losses.append(beta * F.binary_cross_entropy_with_logits(response.float(), truth, pos_weight=alpha))
    return torch.stack(losses).sum()
