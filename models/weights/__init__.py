"""The checkpoint that ships with the project: sprites, see docs/sprites.md."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "tiny.safetensors"
