"""The bundle that a command works on."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_BUNDLE = Path("build/tiny")


def add_bundle_argument(parser: argparse.ArgumentParser, name: str) -> None:
    """An argument `name`, "bundle" or "--bundle", that may be left out."""
    optional = {} if name.startswith("-") else {"nargs": "?"}
    parser.add_argument(name, type=Path, default=DEFAULT_BUNDLE, help=f"default: {DEFAULT_BUNDLE}", **optional)
