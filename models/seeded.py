"""Networks with random weights that are the same everywhere: for tests, and for what needs a network but no masks."""

from __future__ import annotations

import math
import zlib
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.decoder import pyramid
from cstm.models.text import Text


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A random weight, float32 (int64 zero for a batch counter), that depends on its name, shape and seed alone.

    The scales keep activations sane through the whole depth, and no layer is zero, so every path takes part.
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        value = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1:
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = rng.standard_normal(shape) * math.sqrt(1 / math.prod(shape[1:]))
    return value.astype(np.float32)


def seeded(config: CSTMConfig, seed: int = 0) -> CSTM:
    """A network with random weights that are the same everywhere, in evaluation mode. Its masks mean nothing.

    The heads' last convolutions are scaled so that logits vary as trained ones do, around a clear "no": parity of
    logits that hardly vary would prove little.
    """
    model = CSTM(config, provenance={"kind": "seeded", "seed": seed}).eval()
    tensors = {k: torch.from_numpy(seeded_tensor(k, tuple(v.shape), seed)) for k, v in model.state_dict().items()}
    model.load_state_dict(tensors)
    _spread_logits(model)
    return model


@torch.no_grad()
def _spread_logits(model: CSTM, mean: float = -3, deviation: float = 2) -> None:
    """Point the heads' last convolutions along the direction in which the features of a random clip vary most, as
    training would, and give the logits this mean and deviation. A random direction would mostly cancel."""
    config, rng = model.config, torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, config.frames, 128, 128, generator=rng)
    text: Text
    if config.text == "gru":
        text = torch.randn(1, config.max_words, config.word_vector_width, generator=rng)
    else:
        text = torch.arange(config.max_words)[None], torch.ones(1, config.max_words, dtype=torch.int64)
    levels = pyramid(model.decoder.merge, model.fused(video, text))
    for head, level in zip(model.decoder.heads, levels, strict=True):
        *hidden, last = cast(nn.Sequential, head)
        features = nn.Sequential(*hidden)(level)[0].flatten(1)
        spread, directions = torch.linalg.eigh(features.cov())
        direction = directions[:, -1] * directions[:, -1].sum().sign()
        weight = direction * deviation / spread[-1].sqrt()
        layer = cast(nn.Conv2d, last)
        layer.weight.copy_(weight.reshape_as(layer.weight))
        cast(Tensor, layer.bias).copy_(mean - weight @ features.mean(1))
