"""EfficientNet-Lite0 cut into five stages (Tan & Le, ICML 2019; the Lite variant has ReLU6 and no squeeze-excitation):
the spatial stream's backbone where real ImageNet weights are wanted and an INT8 graph. Padding is TensorFlow's "SAME".
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cstm.models.i3d import same_padding

# Per stage, groups of blocks: how many, kernel, stride of the first, expansion, channels (TensorFlow's
# efficientnet_lite_builder.py).
STAGES = (
    ((1, 3, 1, 1, 16),),  # after the stem, which halves
    ((2, 3, 2, 6, 24),),
    ((2, 5, 2, 6, 40),),
    ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
STEM = 32
EPSILON, MOMENTUM = 1e-3, 0.01  # of the batch norms


class Standardise(nn.Module):
    """Pixels [0,1] -> (255 x - 127) / 128, as the weights were trained; [B,3,R,R] as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (255 / 128) - 127 / 128


class SameConv2d(nn.Conv2d):
    """Convolution without bias, "SAME" padding: [B,C,H,W] -> [B,C',H/stride,W/stride]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        pads = same_padding((kernel,) * 2, (stride,) * 2)
        symmetric = pads[0] == pads[1]
        padding = pads[0] if symmetric else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.pads = None if symmetric else pads

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pads) if self.pads else x)


class InvertedResidual(nn.Module):
    """1x1 convolution that widens, one by channel, and 1x1 that narrows, with a shortcut where shapes agree.

    [B,C,H,W] -> [B,C',H/stride,W/stride].
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = in_channels * expansion
        self.expand = conv_norm(SameConv2d(in_channels, width, 1)) if expansion > 1 else nn.Identity()
        self.depthwise = conv_norm(SameConv2d(width, width, kernel, stride, groups=width))
        self.project = conv_norm(SameConv2d(width, out_channels, 1), active=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.project(self.depthwise(self.expand(x)))
        return x + narrow if self.shortcut else narrow


def conv_norm(conv: SameConv2d, active: bool = True) -> nn.Sequential:
    """The convolution, batch norm and, where `active`, ReLU6."""
    norm = nn.BatchNorm2d(conv.out_channels, EPSILON, MOMENTUM)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True)) if active else nn.Sequential(conv, norm)


def efficientnet_stages() -> nn.ModuleList:
    """Five modules, each halving height and width: [B,3,R,R] -> [B,16,R/2,R/2] -> ... -> [B,320,R/32,R/32]."""
    channels = STEM
    stages: list[nn.Module] = []
    for groups in STAGES:
        layers: list[nn.Module] = [] if stages else [Standardise(), conv_norm(SameConv2d(3, STEM, 3, 2))]
        for count, kernel, stride, expansion, out_channels in groups:
            for number in range(count):
                layers.append(InvertedResidual(channels, out_channels, kernel, 1 if number else stride, expansion))
                channels = out_channels
        stages.append(nn.Sequential(*layers))
    return nn.ModuleList(stages)
