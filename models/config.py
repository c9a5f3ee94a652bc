"""The network's configuration: a frozen record, and the presets. Free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

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

# What a field may be. The bounds leave room for any network that would run, and none for one that would never be built.
WHOLE_NUMBERS = {
    "size": (32, 4096),
    "frames": (8, 256),
    "stride": (1, 256),
    "max_words": (1, 512),
    "text_width": (1, 8192),
    "word_vector_width": (1, 8192),
    "vocabulary": (0, 1_000_000),
    "transformer_width": (1, 8192),
    "transformer_layers": (1, 64),
    "transformer_heads": (1, 256),
    "decoder_width": (1, 4096),
}
LARGEST_WIDTH, MOST_BLOCKS = 8, 64
RESNET, EFFICIENTNET = "resnet", "efficientnet_lite0"
RESNET_CHANNELS, EFFICIENTNET_CHANNELS = (64, 256, 512, 1024, 2048), (16, 24, 40, 112, 320)
CHOICES = {
    "text": ("gru", "transformer"),
    "head_convs": (2, 3),
    "streams": (STREAMS, STREAMS[:1], STREAMS[1:]),
    "spatial_backbone": (RESNET, EFFICIENTNET),
    "cmam": (True, False),
    "mask_rule": ("half_max", "probability"),
}


@dataclass(frozen=True)
class CSTMConfig:
    """Everything that decides the network's shapes and the rule from response to mask.

    text: "gru" (word vectors, one GRU; the released code) or "transformer" (token ids, BERT).
    size: side R of the square frames in pixels, divisible by 32. frames: T, frames in a clip. stride: from one of them
    to the next, in frames of the video.
    max_words: N, words or tokens in a sentence, padding included.
    text_width: D. word_vector_width: of the GRU's input. vocabulary: rows of the transformer's embedding (0 for the
    GRU); transformer_width, _layers and _heads: BERT's hidden size and depth.
    spatial_backbone: "resnet" or "efficientnet_lite0". spatial_layers: blocks in ResNet's stages 2..5. spatial_width,
    temporal_width: multiply every channel count of ResNet-50 and I3D; EfficientNet has its own depth and, with its
    weights, its own width. decoder_width: E.
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
    stride: int = 2
    max_words: int = 24
    text_width: int = 512
    word_vector_width: int = 300
    vocabulary: int = 30522
    transformer_width: int = 768
    transformer_layers: int = 12
    transformer_heads: int = 12
    spatial_backbone: str = RESNET
    spatial_layers: tuple[int, ...] = (3, 4, 6, 3)
    spatial_width: float = 1.0
    temporal_width: float = 1.0
    decoder_width: int = 256
    lgfs_stages: tuple[int, ...] = STAGES
    head_convs: int = 2
    streams: tuple[str, ...] = STREAMS
    cmam: bool = True
    mask_rule: str = "half_max"

    def __post_init__(self) -> None:
        for field in ("spatial_layers", "lgfs_stages", "streams"):
            if isinstance(value := getattr(self, field), list):
                object.__setattr__(self, field, tuple(value))
        if broken := _unfit_fields(self) or _unfit_together(self):
            raise ValueError(f"CSTMConfig: {'; '.join(broken)}")

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> CSTMConfig:
        """The preset `name`, of PRESETS, with some fields changed. ValueError on another name."""
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
        return dataclasses.replace(PRESETS[name], **changes)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CSTMConfig:
        """The inverse of `to_dict`; a field that is absent, as in older files, has its default.

        ValueError when `fields` is no mapping, holds fields that this version does not know, or values out of bounds.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(f"CSTMConfig: {shortened(fields)} is not a mapping of fields")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := [name for name in fields if name not in known]:
            raise ValueError(f"CSTMConfig: unknown fields {shortened(unknown)}")
        return cls(**fields)

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @property
    def spatial_channels(self) -> tuple[int, ...]:
        """Channels of the spatial stream after stages 1..5."""
        if self.spatial_backbone == EFFICIENTNET:
            return EFFICIENTNET_CHANNELS
        return tuple(scaled(c, self.spatial_width) for c in RESNET_CHANNELS)

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


def _unfit_fields(config: CSTMConfig) -> list[str]:
    """What is wrong with the fields one by one."""
    rules: dict[str, tuple[bool, str]] = {}
    for field, (least, most) in WHOLE_NUMBERS.items():
        rules[field] = _whole(getattr(config, field), least, most), f"a whole number from {least} to {most:,}"
    for field, choices in CHOICES.items():
        value = getattr(config, field)
        fits = any(type(choice) is type(value) and choice == value for choice in choices)
        rules[field] = fits, " or ".join(map(str, choices))
    for field in ("spatial_width", "temporal_width"):
        width = getattr(config, field)
        fits = type(width) in (int, float) and 0 < width <= LARGEST_WIDTH
        rules[field] = fits, f"a number above 0, at most {LARGEST_WIDTH}"
    layers, stages = config.spatial_layers, config.lgfs_stages
    fits = isinstance(layers, tuple) and len(layers) == 4 and all(_whole(blocks, 1, MOST_BLOCKS) for blocks in layers)
    rules["spatial_layers"] = fits, f"four whole numbers from 1 to {MOST_BLOCKS}"
    fits = (
        isinstance(stages, tuple) and all(_whole(stage, 1, 5) for stage in stages) and len(set(stages)) == len(stages)
    )
    rules["lgfs_stages"] = fits, "different stages from 1 to 5"
    rules["preset"] = isinstance(config.preset, str), "a name"
    return [f"{f} is {shortened(getattr(config, f))}, must be {rule}" for f, (fits, rule) in rules.items() if not fits]


def _whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _unfit_together(config: CSTMConfig) -> list[str]:
    """What is wrong with fields that are right one by one."""
    transformer = config.text == "transformer"
    rules = {
        f"size is {config.size}, must be a multiple of 32": config.size % 32 == 0,
        f"frames is {config.frames}, must be a multiple of 8": config.frames % 8 == 0,
        "lgfs_stages must be empty with one stream: LGFS weighs two": len(config.streams) == 2
        or not config.lgfs_stages,
        "vocabulary must be positive with a transformer": config.vocabulary > 0 or not transformer,
        "transformer_width must be a multiple of transformer_heads": not transformer
        or config.transformer_width % config.transformer_heads == 0,
    }
    return [rule for rule, holds in rules.items() if not holds]


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
# As `tiny`, whose text encoder, temporal stream and decoder it can begin with, but for the spatial stream.
PRESETS["small"] = dataclasses.replace(PRESETS["tiny"], preset="small", spatial_backbone=EFFICIENTNET)
