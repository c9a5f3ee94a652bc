"""Which code made a thing: so that what other code made is not used again."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_fingerprint(*places: str) -> str:
    """A hash of the files, data among them, of some of the project's folders ("graph") and modules ("runtime.rle").

    ModuleNotFoundError where there is no such place: a fingerprint of nothing would fit everything.
    """
    digest = hashlib.sha256()
    for path in (path for place in places for path in _files(place)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _files(place: str) -> list[Path]:
    spec = find_spec(f"cstm.{place}")
    if spec is None:
        raise ModuleNotFoundError(f"there is no cstm.{place}")
    if spec.submodule_search_locations is None:
        return [Path(str(spec.origin))]
    inside = (path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*"))
    return sorted(path for path in inside if path.is_file() and "__pycache__" not in path.parts)
