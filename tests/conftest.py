"""What several test folders share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("CSTM_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The workplace's folder of fixtures and data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent (set CSTM_SHARED)")
    return SHARED
