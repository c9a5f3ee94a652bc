"""The clip and the sentences that ship with the project."""

from __future__ import annotations

from pathlib import Path

DEMO_VIDEO = Path(__file__).parent / "demo" / "people.mp4"
DEMO_SENTENCES = ("man in black walking on the left", "person walking to the right")
