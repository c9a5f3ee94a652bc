"""The decoder: from the coarsest fused features upwards, with a mask head at each of six levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cstm.models.config import CSTMConfig
from cstm.models.contract import LEVELS
from cstm.models.lgfs import conv_block


def upsample(x: Tensor) -> Tensor:
    """[B,C,h,w] -> [B,C,2h,2w], bilinear, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def mask_head(width: int, convs: int) -> nn.Sequential:
    """`convs` convolutions, the last 1x1 to one channel, the others 3x3 with ReLU: [B,E,h,w] -> [B,1,h,w]."""
    layers: list[nn.Module] = []
    for _ in range(convs - 1):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 1))


def pyramid(merge: nn.ModuleList, fused: Sequence[Tensor]) -> list[Tensor]:
    """Fused features of stages 1..5, [B,E,R/2..R/32] -> six feature maps, R/32 to R, coarse to fine."""
    levels = [fused[4]]
    for stage in (3, 2, 1, 0):
        levels.append(merge[stage](torch.cat([upsample(levels[-1]), fused[stage]], dim=1)))
    return [*levels, upsample(levels[-1])]


class Decoder(nn.Module):
    """Five fused maps -> six logit maps. `heads[0]` is the coarsest; only the last is needed at inference."""

    def __init__(self, config: CSTMConfig):
        super().__init__()
        width = config.decoder_width
        self.merge = nn.ModuleList(conv_block(2 * width, width) for _ in range(4))
        self.heads = nn.ModuleList(mask_head(width, config.head_convs) for _ in range(LEVELS))

    def forward(self, fused: Sequence[Tensor]) -> list[Tensor]:
        """Six logit maps [B,h,w], coarse to fine."""
        return [head(level).squeeze(1) for head, level in zip(self.heads, pyramid(self.merge, fused), strict=True)]
