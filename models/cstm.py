"""The whole network, written as the paper has it (Hui et al., CVPR 2021)."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from cstm.models.cmam import CMAM
from cstm.models.config import EFFICIENTNET, RANDOM_WEIGHTS, CSTMConfig
from cstm.models.decoder import Decoder
from cstm.models.efficientnet import efficientnet_stages
from cstm.models.i3d import i3d_stages
from cstm.models.lgfs import conv_block, fusion_stages
from cstm.models.resnet import resnet_stages
from cstm.models.text import Text, text_encoder


class Computation(Protocol):
    """How a stage, or its CMAM, is computed: a strategy that training may choose, such as another precision."""

    def __call__(self, index: int, part: nn.Module, *inputs: Tensor) -> Tensor:
        """`part`, of stage `index` from 0, on its inputs."""
        ...


def as_it_is(index: int, part: nn.Module, *inputs: Tensor) -> Tensor:
    """Whatever the stage, in the precision of its surroundings."""
    return part(*inputs)


class StreamEncoder(nn.Module):
    """One stream: five stages, each followed by CMAM, whose output feeds the next stage and the decoder.

    compute: how stages and CMAMs are computed; `as_it_is`, or another.
    """

    def __init__(self, config: CSTMConfig, stream: str):
        super().__init__()
        channels = config.channels(stream)
        dims = 2 if stream == "spatial" else 3
        self.stages = _spatial_stages(config) if stream == "spatial" else i3d_stages(config)
        self.cmam = nn.ModuleList(CMAM(c, config.text_width, dims) for c in channels if config.cmam)
        self.project = nn.ModuleList(conv_block(c, config.decoder_width, bias=False) for c in channels)
        self.compute: Computation = as_it_is

    def forward(self, x: Tensor, words: Tensor) -> list[Tensor]:
        """Pixels [B,3,R,R] or [B,3,T,R,R] in [0,1], words [B,N,D] -> five maps [B,E,R/2..R/32]."""
        features = []
        for index, stage in enumerate(self.stages):
            x = self.compute(index, stage, x)
            if self.cmam:
                x = self.compute(index, self.cmam[index], x, words)
            features.append(self.project[index](middle_frame(x)))
        return features


def _spatial_stages(config: CSTMConfig) -> nn.ModuleList:
    return efficientnet_stages() if config.spatial_backbone == EFFICIENTNET else resnet_stages(config)


def middle_frame(x: Tensor) -> Tensor:
    """[B,C,T,H,W] -> [B,C,H,W] at T//2, the target frame's place; [B,C,H,W] as it is."""
    # A slice, which back ends take from any layout; an index becomes Gather, before which OpenVINO converts all frames.
    return x.narrow(2, x.shape[2] // 2, 1).squeeze(2) if x.dim() == 5 else x


class CSTM(nn.Module):
    """The reference network.

    provenance: where the weights come from, {"kind": "seeded" | "trained" | ...}. tokenizer: the tokenizer.json that a
    transformer learnt its words with, as text, or None.
    """

    def __init__(self, config: CSTMConfig, provenance: dict | None = None):
        super().__init__()
        self.config = config
        self.provenance = provenance or {"kind": "initial"}
        self.tokenizer: str | None = None
        self.text = text_encoder(config)
        self.encoders = nn.ModuleDict({stream: StreamEncoder(config, stream) for stream in config.streams})
        self.fusion = fusion_stages(config)
        self.decoder = Decoder(config)

    @property
    def trained(self) -> bool:
        """Whether the weights were learnt, so that masks mean something."""
        return self.provenance["kind"] not in RANDOM_WEIGHTS

    def response_maps(self, video: Tensor, text: Text) -> list[Tensor]:
        """Six logit maps [B,h,w], coarse to fine, h from R/32 to R.

        video: float32 [B,3,T,R,R] in [0,1], any R divisible by 32; the target frame is index T//2.
        text: word vectors float32 [B,N,300] (GRU), or (token ids, mask), int64 [B,N] each (transformer).
        """
        return self.decoder(self.fused(video, text))

    def fused(self, video: Tensor, text: Text) -> list[Tensor]:
        """The decoder's inputs for those of `response_maps`: the streams made one at stages 1..5, [B,E,R/2..R/32]."""
        words, sentence = self.text(text)
        pixels = {"spatial": video[:, :, video.shape[2] // 2], "temporal": video}
        streams = [encoder(pixels[stream], words) for stream, encoder in self.encoders.items()]
        stages = zip(self.fusion, zip(*streams, strict=True), strict=True)
        return [fuse(list(features), sentence) for fuse, features in stages]

    def forward(self, video: Tensor, text: Text) -> list[Tensor]:
        """As `response_maps`."""
        return self.response_maps(video, text)
