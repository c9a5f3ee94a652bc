"""Files that are whole or absent, and their fingerprints."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import reprlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cstm.errors import CSTMError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` when the block succeeds, removed when it raises.

    A link stays: its target is written. A device or FIFO is never replaced: what was written is copied into it at the
    end. CSTMError when `path` is a folder, when nothing can be written there, or when the disk is full.
    """
    path = check_place(path)
    special = is_special(path)
    try:
        folder = None if special else path.parent
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=folder)
    except OSError as error:
        raise CSTMError(f"{path}: cannot be written ({error.strerror}); name another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if special:
            with temporary.open("rb") as written, path.open("wb") as there:
                shutil.copyfileobj(written, there)
        else:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise CSTMError(f"{path}: the disk is full; free some room, or name another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def as_path(value: object, error: type[CSTMError], wanted: str) -> Path:
    """A user's `value` as a path, which may lead nowhere. `error` when it can be none; wanted: what it should name."""
    with suppress(Exception):  # a path of the user's own class raises whatever it likes
        if isinstance(value, (str, os.PathLike)) and os.fspath(value):
            path = Path(value)
            path.exists()  # of names that no system knows, it raises
            return path
    raise error(f"{reprlib.repr(value)} is no path; name {wanted}")


def check_place(path: str | Path) -> Path:
    """Where writing to `path` will write: a link's target, else `path`. CSTMError when that is a folder."""
    path = Path(path)
    if path.is_symlink() and not is_special(path):  # /dev/stdout leads to a pipe, which has no name of its own
        path = path.resolve()
    if path.is_dir():
        raise CSTMError(f"{path}: is a folder; name a file")
    return path


def is_special(path: Path) -> bool:
    """Whether it is a device, a pipe or a socket."""
    return path.exists() and not (path.is_file() or path.is_dir())


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which must not exist, to fill; renamed to `path` when the block succeeds,
    removed when it raises. CSTMError when nothing can be written there."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise CSTMError(f"{path}: cannot be written ({error.strerror}); name another place") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` to `path`, atomically. CSTMError as atomic_path's."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cstm"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
