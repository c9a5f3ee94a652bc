"""What many small files say, read once and remembered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.progress import track

from cstm.console import make_console
from cstm.errors import CSTMError
from cstm.files import cache_folder, write_json


def read_all(name: str, files: list[Path], read: Callable[[Path], Any]) -> list:
    """[read(file) for file in files], where `read` gives what JSON can hold.

    The user's cache folder keeps the answers until a file is added, removed or altered; a progress bar on standard
    error shows the reading. Where the folder cannot be written, nothing is kept.
    """
    key = _fingerprint(files)
    cache = cache_folder() / f"{name}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return kept["answers"]
    console = make_console(stderr=True)
    answers = [read(file) for file in track(files, "Reading annotations", console=console, transient=True)]
    with suppress(OSError, CSTMError):
        write_json(cache, {"key": key, "answers": answers})
    return answers


def _fingerprint(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.absolute()} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
