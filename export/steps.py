"""Resumable work: a step whose inputs and outputs are unchanged is not run again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cstm.errors import BundleError
from cstm.files import sha256, write_json

LOCK = "lock"

Info = dict[str, Any]


class Shown(Protocol):
    """Where steps are seen."""

    def begins(self, label: str) -> None:
        """A step is looked at, and run where it must be."""

    def ended(self, label: str, seconds: float | None) -> None:
        """It is done; seconds: None where it did not have to run."""


class Steps:
    """Runs named steps in `folder` and records, in `steps.json`, what each was made from and what it made.

    code: what every step depends on besides its inputs, as JSON. force: forget what is recorded. shown: where steps
    with a label are seen. ran: the names of those that had to run, in order.
    """

    def __init__(self, folder: Path, force: bool = False, code: object = None, shown: Shown | None = None):
        self.folder, self.code, self.shown = folder, code, shown
        self._file = folder / "steps.json"
        self._done: dict[str, dict[str, Any]] = {} if force else _recorded(self._file)
        self.ran: list[str] = []

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        outputs: Collection[str],
        action: Callable[[], Info | None],
        label: str | None = None,
    ) -> Info:
        """The step's information: what `action` returned, plus "seconds", now or when it ran.

        inputs: JSON values that decide the result (hashes of files, options). outputs: files it writes, relative to
        the folder. Only a step that succeeded is recorded.
        """
        if label is None or self.shown is None:
            return self._run(name, inputs, outputs, action)
        self.shown.begins(label)
        before = len(self.ran)
        info = self._run(name, inputs, outputs, action)
        self.shown.ended(label, info["seconds"] if len(self.ran) > before else None)
        return info

    def digest(self, output: str) -> str:
        """The SHA-256 of a file, from the last step that made it."""
        return next(r["outputs"][output] for r in reversed(self._done.values()) if output in r["outputs"])

    def _run(self, name: str, inputs: Info, outputs: Collection[str], action: Callable[[], Info | None]) -> Info:
        key = hashlib.sha256(json.dumps([inputs, self.code], sort_keys=True).encode()).hexdigest()
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

    def _intact(self, record: dict[str, Any]) -> bool:
        files = ((self.folder / name, digest) for name, digest in record["outputs"].items())
        return all(path.is_file() and sha256(path) == digest for path, digest in files)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder of steps, made where it is not there, for this process alone; where nothing was done it goes again.

    BundleError, naming who holds it, when another build works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            who = lock.read().strip() or "another process"
            raise BundleError(f"{folder}: {who} builds there; wait for it, or name another --output") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
        lock.flush()
        try:
            yield
        finally:
            if not (folder / "steps.json").exists():
                shutil.rmtree(folder, ignore_errors=True)


def _recorded(file: Path) -> dict[str, dict[str, Any]]:
    """What an earlier build recorded; nothing where that cannot be read: the steps are then run again."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        whole = all(record.keys() == {"key", "outputs", "info"} for record in found.values())
        return found if whole else {}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
