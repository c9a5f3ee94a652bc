"""Resumable work: a step whose inputs and outputs are unchanged is not run again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from cstm.files import sha256, write_json


class Steps:
    """Runs named steps in `folder` and records, in `steps.json`, what each was made from and what it made."""

    def __init__(self, folder: str | Path, force: bool = False):
        self.folder = Path(folder)
        self._file = self.folder / "steps.json"
        self._done = {}
        if self._file.is_file() and not force:
            self._done = json.loads(self._file.read_text(encoding="utf-8"))
        self.ran: list[str] = []

    def run(self, name: str, inputs: dict, outputs: list[str], action: Callable[[], dict | None]) -> dict:
        """The step's information: what `action` returned, plus "seconds", now or when it ran.

        inputs: JSON values that decide the result (hashes of files, options). outputs: files it writes, relative to
        the folder. Only a step that succeeded is recorded.
        """
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        record = self._done.get(name)
        if record and record["key"] == key and set(record["outputs"]) == set(outputs) and self._intact(record):
            return record["info"]
        self.folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        info = action() or {}
        info["seconds"] = round(time.perf_counter() - start, 2)
        digests = {output: sha256(self.folder / output) for output in outputs}
        self._done.pop(name, None)
        self._done[name] = {"key": key, "outputs": digests, "info": info}
        write_json(self._file, self._done)
        self.ran.append(name)
        return info

    def digest(self, output: str) -> str:
        """The SHA-256 of a file, from the last step that made it."""
        return next(r["outputs"][output] for r in reversed(self._done.values()) if output in r["outputs"])

    def _intact(self, record: dict) -> bool:
        files = ((self.folder / name, digest) for name, digest in record["outputs"].items())
        return all(path.is_file() and sha256(path) == digest for path, digest in files)
