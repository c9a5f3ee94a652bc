"""Batch norms into the convolutions before them, while the network is still PyTorch's: a third less to trace."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norms(module: Module) -> Module:
    """A copy of `module`, which is in evaluation mode, that answers the same without its batch norms.

    One follows the convolution that it is declared after, as in all our networks; the export's verification shows
    where that is not so.
    """
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for (place, convolution), (follower, norm) in pairwise(parent.named_children()):
            if isinstance(convolution, (nn.Conv2d, nn.Conv3d)) and isinstance(norm, NORMS):
                setattr(parent, place, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, follower, nn.Identity())
    return module
