"""Batch norms folded into convolutions."""

import torch
from torch import nn

from cstm.export.batch_norms import fold_batch_norms


class Block(nn.Module):
    """Two convolutions with a batch norm each, and a batch norm that follows none."""

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0.3)
        self.inner = nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.BatchNorm2d(5))

    def forward(self, x):
        return self.inner(self.first_norm(self.first(x)))


def test_the_copy_answers_the_same_without_those_that_follow_a_convolution():
    torch.manual_seed(0)
    block = Block().eval()
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 2)
    folded, x = fold_batch_norms(block), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(folded(x), block(x))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 1
    assert sum(isinstance(module, nn.BatchNorm2d) for module in block.modules()) == 3
