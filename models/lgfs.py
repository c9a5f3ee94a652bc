"""The two streams made one, per stage: language-guided feature selection, or concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cstm.models.config import CSTMConfig


class LGFS(nn.Module):
    """Language-guided feature selection (CSTM, section 3.3): per channel, two weights that sum to one.

    The paper's text gives no formula. This is our reading of its supplement, which shows weights per channel that sum
    to one over the streams: z = ReLU(W [GAP(S); GAP(V); e]), (w_s, w_t) = softmax over the pair of (A_s z, A_t z),
    F = w_s * S + w_t * V.
    """

    def __init__(self, width: int, text_width: int):
        super().__init__()
        self.squeeze = nn.Linear(2 * width + text_width, width)
        self.select = nn.Linear(width, 2 * width)

    def weights(self, spatial: Tensor, temporal: Tensor, sentence: Tensor) -> Tensor:
        """[B,2,E,1,1]: the weights of the spatial and of the temporal stream."""
        pooled = torch.cat([spatial.mean((2, 3)), temporal.mean((2, 3)), sentence], dim=1)
        scores = self.select(torch.relu(self.squeeze(pooled)))
        return scores.reshape(-1, 2, spatial.shape[1], 1, 1).softmax(1)

    def forward(self, features: list[Tensor], sentence: Tensor) -> Tensor:
        """[spatial, temporal], each [B,E,h,w], and the sentence [B,D] -> [B,E,h,w]."""
        spatial, temporal = features
        weights = self.weights(spatial, temporal, sentence)
        return weights[:, 0] * spatial + weights[:, 1] * temporal


class ConcatFusion(nn.Module):
    """The released code's fusion: streams side by side, then Conv3x3, batch norm, ReLU.

    At stage 5 the spatial stream comes first, at the others the temporal one: the released weights want it so.
    """

    def __init__(self, streams: int, width: int, stage: int):
        super().__init__()
        self.reverse = stage != 5
        self.fuse = conv_block(streams * width, width)

    def forward(self, features: list[Tensor], sentence: Tensor | None = None) -> Tensor:
        """[spatial, temporal] or one of them, each [B,E,h,w] -> [B,E,h,w]. The sentence is not used."""
        return self.fuse(torch.cat(features[::-1] if self.reverse else features, dim=1))


def conv_block(in_channels: int, out_channels: int, bias: bool = True) -> nn.Sequential:
    """Conv3x3, batch norm, ReLU on [B,C,h,w]."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def fusion_stages(config: CSTMConfig) -> nn.ModuleList:
    """One fusion module per stage 1..5, as `lgfs_stages` says."""
    width = config.decoder_width
    return nn.ModuleList(
        LGFS(width, config.text_width)
        if stage in config.lgfs_stages
        else ConcatFusion(len(config.streams), width, stage)
        for stage in range(1, 6)
    )
