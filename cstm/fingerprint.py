"""Which code made a thing: so that what other code made is not used again."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_fingerprint(*folders: str) -> str:
    """A hash of the files in some of the project's folders, so that results of other code and data are not reused."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder in folders:
        # Installed, the folders are sub-packages beside this one; in the repository, folders of its root.
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
