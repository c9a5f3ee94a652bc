"""The network's configuration: a frozen record, and the presets. Free of torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

STAGES = (1, 2, 3, 4, 5)
STREAMS = ("spatial", "temporal")
RANDOM_WEIGHTS = ("initial", "seeded")  # kinds of provenance that no training has touched

# Inception-v1 3D, per block: 1x1 branch; 1x1 -> 3x3x3; 1x1 -> 3x3x3; pool -> 1x1 (Carreira & Zisserman, CVPR 2017).
INCEPTION_BLOCKS = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


@dataclass(frozen=True)
class CSTMConfig:
    """Everything that decides the network's shapes and the rule from response to mask.

    text: "gru" (word vectors, one GRU; the released code) or "transformer" (token ids, BERT).
    size: side R of the square frames in pixels, divisible by 32. frames: T, frames in a clip.
    max_words: N, words or tokens in a sentence, padding included.
    text_width: D. word_vector_width: of the GRU's input. vocabulary: rows of the transformer's embedding (0 for the
    GRU); transformer_width, _layers and _heads: BERT's hidden size and depth.
    spatial_layers: blocks in ResNet's stages 2..5. spatial_width, temporal_width: multiply every channel count of
    ResNet-50 and I3D. decoder_width: E.
    streams: encoders in use. cmam: whether the words modulate them.
    lgfs_stages: stages whose two streams LGFS weighs; the others are concatenated and convolved.
    head_convs: convolutions in a mask head, 2 (the supplement) or 3 (the released code).
    mask_rule: "half_max", a pixel is in when its probability exceeds half of the frame's maximum (the authors'), or
    "probability", when it exceeds 0.5.
    """

    preset: str = "paper"
    text: str = "transformer"
    size: int = 320
    frames: int = 8
    max_words: int = 24
    text_width: int = 512
    word_vector_width: int = 300
    vocabulary: int = 30522
    transformer_width: int = 768
    transformer_layers: int = 12
    transformer_heads: int = 12
    spatial_layers: tuple[int, ...] = (3, 4, 6, 3)
    spatial_width: float = 1.0
    temporal_width: float = 1.0
    decoder_width: int = 256
    lgfs_stages: tuple[int, ...] = STAGES
    head_convs: int = 2
    streams: tuple[str, ...] = STREAMS
    cmam: bool = True
    mask_rule: str = "half_max"

    def __post_init__(self):
        for field in ("spatial_layers", "lgfs_stages", "streams"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        rules = {
            "text must be gru or transformer": self.text in ("gru", "transformer"),
            "size must be a positive multiple of 32": self.size > 0 and self.size % 32 == 0,
            "frames must be a positive multiple of 8": self.frames > 0 and self.frames % 8 == 0,
            "streams must be spatial, temporal or both": self.streams in (STREAMS, STREAMS[:1], STREAMS[1:]),
            "lgfs_stages must be stages from 1 to 5": set(self.lgfs_stages) <= set(STAGES),
            "lgfs_stages must be empty with one stream: LGFS weighs two": len(self.streams) == 2
            or not self.lgfs_stages,
            "head_convs must be 2 or 3": self.head_convs in (2, 3),
            "mask_rule must be half_max or probability": self.mask_rule in ("half_max", "probability"),
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise ValueError(f"CSTMConfig: {'; '.join(broken)}")

    @classmethod
    def from_preset(cls, name: str, **changes) -> CSTMConfig:
        """The preset `name` ("paper", "released" or "tiny") with some fields changed. ValueError on another name."""
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
        return dataclasses.replace(PRESETS[name], **changes)

    @classmethod
    def from_dict(cls, fields: dict) -> CSTMConfig:
        """The inverse of `to_dict`. ValueError names fields that this version does not know."""
        unknown = set(fields) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"CSTMConfig: unknown fields {', '.join(sorted(unknown))}")
        return cls(**fields)

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @property
    def spatial_channels(self) -> tuple[int, ...]:
        """Channels of the spatial stream after stages 1..5."""
        return tuple(scaled(c, self.spatial_width) for c in (64, 256, 512, 1024, 2048))

    @property
    def temporal_channels(self) -> tuple[int, ...]:
        """Channels of the temporal stream after stages 1..5."""
        last = (self.inception(block) for block in ("3c", "4f", "5c"))
        stem = (scaled(c, self.temporal_width) for c in (64, 192))
        return (*stem, *(b[0] + b[2] + b[4] + b[5] for b in last))

    def channels(self, stream: str) -> tuple[int, ...]:
        """Channels of `stream` after stages 1..5."""
        return self.spatial_channels if stream == "spatial" else self.temporal_channels

    def inception(self, block: str) -> tuple[int, ...]:
        """Channel counts of one Inception block, scaled by `temporal_width`."""
        return tuple(scaled(c, self.temporal_width) for c in INCEPTION_BLOCKS[block])


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 where scaled (GPU kernels and SIMD want it), at least 8."""
    return channels if width == 1 else max(8, round(channels * width / 8) * 8)


PRESETS = {
    "paper": CSTMConfig(),
    "released": CSTMConfig(
        preset="released", text="gru", max_words=20, vocabulary=0, lgfs_stages=(), head_convs=3, mask_rule="half_max"
    ),
    "tiny": CSTMConfig(
        preset="tiny",
        size=128,
        text_width=128,
        vocabulary=2048,
        transformer_width=128,
        transformer_layers=2,
        transformer_heads=4,
        spatial_layers=(1, 1, 1, 1),
        spatial_width=0.1875,
        temporal_width=0.1875,
        decoder_width=48,
    ),
}
