"""CMAM's keys folded while training: what they would sum to, without making them.

Keys are BN(W u), D numbers at every position, only to be summed over positions. Batch norm's mean and variance of an
affine map follow from the first two moments of its input: mean W m, variance diag(W C W^T). So the summed keys need
the mean of u in each sample and one C x C covariance over the batch. Exact; a quarter of a training step on the CPU.
"""

from __future__ import annotations

import torch
from torch import nn

from cstm.kernels.plain import l2_normalise
from cstm.models.cmam import CMAM


def fold_keys(model: nn.Module) -> None:
    """Have every CMAM in `model` attend by the folded keys in training mode."""
    for module in model.modules():
        if isinstance(module, CMAM):
            module.attention = attend_folded


def attend_folded(cmam: CMAM, u: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """An `Attention`: as `attend`. In evaluation mode, where batch norms do not look at the batch, the mean of the keys
    is the key of the mean."""
    queries = cmam.query(words.transpose(1, 2))
    with torch.autocast(u.device.type, enabled=False):
        u = u if u.dtype == torch.float64 else u.float()
        keys = mean_keys(cmam.key, u) if cmam.training else cmam.key(_mean(u)).flatten(1)
        # The sum over positions is the mean times their number, which the L2 norm cancels.
        return l2_normalise(torch.einsum("bd,bdn->bn", keys, queries.to(keys.dtype))).softmax(-1)


def _mean(u: torch.Tensor) -> torch.Tensor:
    """Over all positions: [B,C,...] -> [B,C,1,...]."""
    return u.mean(tuple(range(2, u.dim())), keepdim=True)


def mean_keys(key: nn.Sequential, u: torch.Tensor) -> torch.Tensor:
    """Mean over positions of key(u), [B,D], where `key` is a 1x1 convolution and a batch norm in training mode.

    u: [B,C,...]. Updates the batch norm's running statistics as it would itself.
    """
    convolution, norm = key
    assert isinstance(convolution, nn.Conv2d | nn.Conv3d) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    weight = convolution.weight.flatten(1)
    flat = u.flatten(2)
    mean = flat.mean((0, 2))
    centred = flat - mean[:, None]
    count = flat.shape[0] * flat.shape[2]
    covariance = torch.bmm(centred, centred.transpose(1, 2)).sum(0) / count
    mean, variance = weight @ mean, torch.einsum("dc,ce,de->d", weight, covariance, weight)
    _track(norm, mean, variance * count / max(count - 1, 1))
    keys = flat.mean(2) @ weight.T
    return (keys - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


@torch.no_grad()
def _track(norm: nn.BatchNorm2d | nn.BatchNorm3d, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Take a batch's mean and unbiased variance into the running ones."""
    share, batches = norm.momentum, norm.num_batches_tracked
    assert norm.running_mean is not None and norm.running_var is not None and batches is not None and share is not None
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)
    batches.add_(1)
