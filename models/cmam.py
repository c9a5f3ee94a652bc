"""Cross-modal adaptive modulation (CSTM, section 3.2): the sentence's words decide how much each channel is raised."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cstm.kernels.plain import l2_normalise, per_channel

COORDINATES = 8
CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def coordinate_map(height: int, width: int, like: Tensor | None = None) -> Tensor:
    """[1,8,H,W]: each cell's x and y minimum, maximum and centre in [-1, 1], then 1/W and 1/H."""
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    x = torch.arange(width, dtype=dtype, device=device).expand(height, width)
    y = torch.arange(height, dtype=dtype, device=device)[:, None].expand(height, width)
    scale_x, scale_y = 2 / width, 2 / height
    one = torch.ones(height, width, dtype=dtype, device=device)
    cells = [x * scale_x - 1, y * scale_y - 1, (x + 1) * scale_x - 1, (y + 1) * scale_y - 1]
    cells += [(x + 0.5) * scale_x - 1, (y + 0.5) * scale_y - 1, one / width, one / height]
    return torch.stack(cells)[None]


class Attention(Protocol):
    """How a CMAM finds its word weights: a strategy that training may choose, of the same values whichever it is."""

    def __call__(self, cmam: CMAM, u: Tensor, words: Tensor) -> Tensor:
        """As `CMAM.word_weights`."""
        ...


class CMAM(nn.Module):
    """Modulates features of one stage, in the paper's form; `dims` 2 or 3.

    U = ReLU(BN(Conv3(X; P))); a_n = sum over positions of BN(Conv1(U)) . Q_n; p = softmax(a / |a|);
    g = sigmoid(Linear(sum p_n t_n)); X + U * (g - 0.5). The linear layer starts at zero, CMAM thus as the identity.

    attention: how p is found; `attend`, or one of the same values.
    """

    def __init__(self, channels: int, text_width: int, dims: int):
        super().__init__()
        self.mix = nn.Sequential(
            CONV[dims](channels + COORDINATES, channels, 3, padding=1, bias=False), NORM[dims](channels)
        )
        self.key = nn.Sequential(CONV[dims](channels, text_width, 1, bias=False), NORM[dims](text_width))
        self.query = nn.Sequential(nn.Conv1d(text_width, text_width, 1, bias=False), nn.BatchNorm1d(text_width))
        self.gate = nn.Linear(text_width, channels)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.attention: Attention = attend

    def mixed(self, x: Tensor) -> Tensor:
        """U, the features mixed with the coordinates; the shape of `x`, [B,C,H,W] or [B,C,T,H,W]."""
        height, width = x.shape[-2:]
        cells = coordinate_map(height, width, like=x)
        if x.dim() == 5:
            cells = cells.unsqueeze(2)
        cells = cells.expand(x.shape[0], COORDINATES, *x.shape[2:])
        return F.relu(self.mix(torch.cat([x, cells], dim=1)))

    def word_weights(self, u: Tensor, words: Tensor) -> Tensor:
        """p [B,N], from `mixed` features and words [B,N,D]; it sums to one over all N places, padding included."""
        return self.attention(self, u, words)

    def channel_gate(self, weights: Tensor, words: Tensor) -> Tensor:
        """g [B,C] in (0, 1), from the words' weights [B,N] and the words [B,N,D]; 0.5 leaves a channel as it is."""
        return torch.sigmoid(self.gate(torch.einsum("bn,bnd->bd", weights, words)))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """X [B,C,H,W] or [B,C,T,H,W] and word features [B,N,D] -> X modulated, of the same shape."""
        u = self.mixed(x)
        gate = self.channel_gate(self.word_weights(u, words), words)
        return x + u * (per_channel(gate, x) - 0.5)


def attend(cmam: CMAM, u: Tensor, words: Tensor) -> Tensor:
    """The paper's form: keys at every position, summed."""
    keys = cmam.key(u).flatten(2)
    queries = cmam.query(words.transpose(1, 2))
    return l2_normalise(torch.einsum("bdp,bdn->bn", keys, queries)).softmax(-1)
