"""I3D, the Inception-v1 3D network (Carreira & Zisserman, CVPR 2017), cut into five stages: the temporal stream.

Padding is TensorFlow's "SAME": asymmetric where kernel - stride is odd, and pools pad with zeros (a modulated feature
may be negative, so zeros differ from the usual -inf).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cstm.models.config import CSTMConfig


def same_padding(kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, ...]:
    """TensorFlow's "SAME" padding for sizes divisible by the stride, in F.pad's order (last axis first)."""
    pads = []
    for k, s in zip(reversed(kernel), reversed(stride), strict=True):
        total = max(k - s, 0)
        pads += [total // 2, total - total // 2]
    return tuple(pads)


class Conv3dBlock(nn.Module):
    """Convolution without bias, batch norm, ReLU, "SAME" padding; [B,C,T,H,W] -> [B,C',T/s,H/s,W/s]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1):
        super().__init__()
        pads = same_padding((kernel,) * 3, (stride,) * 3)
        symmetric = pads[0] == pads[1]
        self.pads = None if symmetric else pads
        self.conv = nn.Conv3d(
            in_channels, out_channels, kernel, stride, padding=pads[0] if symmetric else 0, bias=False
        )
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.pads:
            x = F.pad(x, self.pads)
        return F.relu(self.norm(self.conv(x)), inplace=True)


class SameMaxPool3d(nn.Module):
    """Max pooling with "SAME" padding by zeros."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.pads = same_padding(kernel, stride)
        self.pool = nn.MaxPool3d(kernel, stride, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, self.pads))


class InceptionBlock(nn.Module):
    """Four branches side by side; [B,C,T,H,W] -> [B,C',T,H,W], C' the sum of the branches' widths."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]):
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3 = widths
        self.out_channels = b0 + b1b + b2b + b3
        self.branches = nn.ModuleList(
            [
                Conv3dBlock(in_channels, b0, 1),
                nn.Sequential(Conv3dBlock(in_channels, b1a, 1), Conv3dBlock(b1a, b1b, 3)),
                nn.Sequential(Conv3dBlock(in_channels, b2a, 1), Conv3dBlock(b2a, b2b, 3)),
                nn.Sequential(SameMaxPool3d((3, 3, 3), (1, 1, 1)), Conv3dBlock(in_channels, b3, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def i3d_stages(config: CSTMConfig) -> nn.ModuleList:
    """Five modules: [B,3,T,R,R] -> [B,C_1,T/2,R/2,R/2], then R/4 and R/8 at T/2, R/16 at T/4, R/32 at T/8."""
    stem, second = config.temporal_channels[:2]

    def blocks(in_channels: int, names: tuple[str, ...]) -> list[InceptionBlock]:
        layers: list[InceptionBlock] = []
        for name in names:
            layers.append(InceptionBlock(in_channels, config.inception(name)))
            in_channels = layers[-1].out_channels
        return layers

    third, fourth = config.temporal_channels[2:4]
    pool = SameMaxPool3d
    return nn.ModuleList(
        [
            nn.Sequential(Conv3dBlock(3, stem, 7, 2)),
            nn.Sequential(pool((1, 3, 3), (1, 2, 2)), Conv3dBlock(stem, stem, 1), Conv3dBlock(stem, second, 3)),
            nn.Sequential(pool((1, 3, 3), (1, 2, 2)), *blocks(second, ("3b", "3c"))),
            nn.Sequential(pool((3, 3, 3), (2, 2, 2)), *blocks(third, ("4b", "4c", "4d", "4e", "4f"))),
            nn.Sequential(pool((2, 2, 2), (2, 2, 2)), *blocks(fourth, ("5b", "5c"))),
        ]
    )
