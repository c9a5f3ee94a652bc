"""ResNet-50 cut into five stages (He et al., CVPR 2016), the spatial stream's backbone."""

from __future__ import annotations

from torch import Tensor, nn

from cstm.models.config import CSTMConfig, scaled


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions and a shortcut; [B,C,H,W] -> [B,4*width,H/stride,W/stride]."""

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def resnet_stages(config: CSTMConfig) -> nn.ModuleList:
    """Five modules, each halving height and width: [B,3,R,R] -> [B,C_1,R/2,R/2] -> ... -> [B,C_5,R/32,R/32].

    `spatial_layers` blocks in stages 2..5; names inside a stage are torchvision's.
    """
    channels = config.spatial_channels
    stem = nn.Sequential(
        nn.Conv2d(3, channels[0], 7, 2, padding=3, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)
    )
    stages = [stem]
    for stage, blocks in enumerate(config.spatial_layers, start=1):
        width = scaled(64 << (stage - 1), config.spatial_width)
        stride = 1 if stage == 1 else 2
        layers = [Bottleneck(channels[stage - 1], width, channels[stage], stride)]
        layers += [Bottleneck(channels[stage], width, channels[stage], 1) for _ in range(blocks - 1)]
        stages.append(nn.Sequential(*layers))
    stages[1] = nn.Sequential(nn.MaxPool2d(3, 2, padding=1), stages[1])
    return nn.ModuleList(stages)
