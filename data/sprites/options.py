"""What a set of sprites is told. Free of what draws it."""

from __future__ import annotations

from dataclasses import dataclass

from cstm.errors import RequestError

SPLITS = ("train", "test", "test-style")
# What the referent shares with a rival of its class, and what tells them apart; "free" is anything.
KINDS = {"action": 0.35, "colour": 0.17, "place": 0.17, "size": 0.06, "free": 0.25}


@dataclass(frozen=True)
class SpriteOptions:
    """clips: how many. seed: the same gives the same set. split: of SPLITS. size: side of a frame in pixels,
    even. kind: of KINDS, or None for the usual mixture. cutouts: a folder of photographic cut-outs, see
    `data.sprites.cutouts`, that act instead of emoji where it has their class."""

    clips: int = 250
    seed: int = 0
    split: str = "test"
    size: int = 192
    kind: str | None = None
    cutouts: str | None = None

    def __post_init__(self) -> None:
        if self.clips < 1 or self.seed < 0 or self.size not in range(64, 801, 2):
            raise RequestError("sprites: clips must be 1 or more, seed 0 or more, size even and from 64 to 800")
