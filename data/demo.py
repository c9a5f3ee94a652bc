"""The clips and the sentences that ship with the project."""

from __future__ import annotations

from pathlib import Path

DEMO_VIDEO = Path(__file__).parent / "demo" / "people.mp4"
DEMO_SENTENCES = ("the woman in black walking on the left", "the person in red")
# Clip 5 of `cstm data sprites OUT --split test --seed 2026 --clips 6 --size 256`.
DEMO_SPRITES = Path(__file__).parent / "demo" / "sprites.mp4"
DEMO_SPRITE_SENTENCES = ("cat is eating on the left", "a kitten at the right")
