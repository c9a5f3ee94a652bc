"""The clip and the sentences that ship with the project."""

from __future__ import annotations

from pathlib import Path

DEMO_VIDEO = Path(__file__).parent / "demo" / "people.mp4"
DEMO_SENTENCES = ("the woman in black walking on the left", "the person in red")
