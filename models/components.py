"""The same network cut for deployment: one module per component of the contract, CMAM folded.

Each takes its inputs as positional tensors in the contract's order and returns a tuple, or a tensor for one output.

The fold: CMAM sums its attention over positions before normalising it, and its key projection is affine, so with u the
mean of U over positions, a is proportional to u . (W_k^T Q) + b_k . Q (the L2 norm cancels the number of positions),
and since the softmax sums to one the gate is sigmoid(sum p_n (G t_n + c)). `key` = W_k^T Q, `bias` = b_k . Q and
`gate` = G t + c depend on the sentence alone: they are the language plan, made once a sentence.

What is left of CMAM at run time is the operator `Modulate`, and LGFS is `Select`; each exports to one node. Both are in
`kernels.ops`.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

import cstm.kernels.ops  # noqa: F401 (registers torch.ops.cstm)
from cstm.models import contract as names
from cstm.models.cmam import CMAM
from cstm.models.config import STAGES
from cstm.models.cstm import CSTM, StreamEncoder, middle_frame
from cstm.models.decoder import pyramid
from cstm.models.lgfs import LGFS


class TextComponent(nn.Module):
    """Text -> sentence vector, then key, bias and gate for every stage of every stream."""

    def __init__(self, model: CSTM):
        super().__init__()
        self.text = model.text
        self.single_input = model.config.text == "gru"
        encoders = cast("list[StreamEncoder]", list(model.encoders.values()))
        self.cmams = nn.ModuleList(cmam for encoder in encoders for cmam in encoder.cmam)

    def forward(self, *text: Tensor) -> tuple[Tensor, ...]:
        words, sentence = self.text(text[0] if self.single_input else text)
        return sentence, *(tensor for cmam in self.cmams for tensor in language_plan(cast(CMAM, cmam), words))


def language_plan(cmam: CMAM, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Words [B,N,D] -> key [B,C,N], bias [B,N], gate [B,C,N] of one CMAM in evaluation mode."""
    conv, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(cmam.key))  # or their like in three dimensions
    mean, variance = cast("tuple[Tensor, Tensor]", (norm.running_mean, norm.running_var))
    scale = norm.weight / (variance + norm.eps).sqrt()
    weight = conv.weight.flatten(1) * scale[:, None]
    offset = norm.bias - mean * scale
    queries = cmam.query(words.transpose(1, 2))
    return weight.T @ queries, offset @ queries, cmam.gate(words).transpose(1, 2)


class EncoderComponent(nn.Module):
    """Pixels uint8 [B,3,R,R] or [B,3,T,R,R] and the stream's language plan -> five maps [B,E,R/2..R/32]."""

    def __init__(self, model: CSTM, stream: str):
        super().__init__()
        self.encoder = cast(StreamEncoder, model.encoders[stream])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        pixels, *language_plans = inputs
        x = pixels.to(next(self.encoder.parameters()).dtype) / 255
        features = []
        for index, stage in enumerate(self.encoder.stages):
            x = stage(x)
            if language_plans:
                u = cast(CMAM, self.encoder.cmam[index]).mixed(x)
                x = torch.ops.cstm.modulate(x, u, *language_plans[3 * index : 3 * index + 3])
            features.append(self.encoder.project[index](middle_frame(x)))
        return tuple(features)


class FusionComponent(nn.Module):
    """Each stream's five maps, and the sentence where LGFS uses it -> five fused maps."""

    def __init__(self, model: CSTM):
        super().__init__()
        self.fusion = model.fusion
        self.streams = len(model.config.streams)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        count = len(STAGES)
        streams = [inputs[i * count : (i + 1) * count] for i in range(self.streams)]
        sentence = inputs[-1]
        stages = zip(self.fusion, zip(*streams, strict=True), strict=True)
        return tuple(_fuse(module, maps, sentence) for module, maps in stages)


def _fuse(module: nn.Module, maps: tuple[Tensor, ...], sentence: Tensor) -> Tensor:
    if not isinstance(module, LGFS):
        return module(list(maps))
    layers = (module.squeeze.weight, module.squeeze.bias, module.select.weight, module.select.bias)
    return torch.ops.cstm.select(*maps, sentence, *layers)


class DecoderComponent(nn.Module):
    """Five fused maps -> mask logits [B,1,R,R]. The five coarser heads, which only training uses, are left out."""

    def __init__(self, model: CSTM):
        super().__init__()
        self.merge = model.decoder.merge
        self.head = model.decoder.heads[-1]

    def forward(self, *fused: Tensor) -> Tensor:
        return self.head(pyramid(self.merge, fused)[-1])


def component_modules(model: CSTM) -> dict[str, nn.Module]:
    """The model's components by name, in the contract's order, sharing its weights; in evaluation mode."""
    modules: dict[str, nn.Module] = {names.TEXT_ENCODER: TextComponent(model)}
    modules |= {names.encoder_name(stream): EncoderComponent(model, stream) for stream in model.config.streams}
    modules |= {names.FUSION: FusionComponent(model), names.DECODER: DecoderComponent(model)}
    return {name: modules[name].eval() for name in names.contract(model.config)}
