"""The bundle that a command works on."""

from __future__ import annotations

import argparse
from pathlib import Path

BUILT = Path("build/tiny")
HELP = f"default: {BUILT} where it is, else the one that the package carries"


def add_bundle_argument(parser: argparse.ArgumentParser, name: str) -> None:
    """An argument `name`, "bundle" or "--bundle", that may be left out."""
    if name.startswith("-"):
        parser.add_argument(name, type=Path, default=default_bundle(), metavar="DIR", help=HELP)
    else:
        parser.add_argument(name, type=Path, nargs="?", default=default_bundle(), help=HELP)


def default_bundle() -> Path:
    """The bundle built here, or the one in the wheel."""
    from cstm.runtime.bundle import SHIPPED_BUNDLE

    return SHIPPED_BUNDLE if SHIPPED_BUNDLE.is_dir() and not BUILT.is_dir() else BUILT
