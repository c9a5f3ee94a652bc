"""The finished bundle: it is proved, then appears all at once."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from cstm.errors import BundleError
from cstm.packages import installed_version
from cstm.runtime.backends import runnable
from cstm.runtime.bundle import Bundle
from cstm.runtime.manifest import MANIFEST, Manifest
from cstm.runtime.opening import open_chain

TOOLS = (
    "cstm",
    "torch",
    "onnx",
    "onnxscript",
    "onnxslim",
    "onnxruntime",
    "nvidia-modelopt",
    "polygraphy",
    "transformers",
)
# What the build made its files for, and whether it is proved linked, None for as it runs: engines are proved both ways.
PROVING = {"onnxruntime": (None,), "tensorrt": (True, False), "tensorrt_rtx": (True, False)}


def check_replaceable(output: Path) -> None:
    """BundleError unless `output` is a bundle with nothing added, an empty folder or nothing: no work is ever lost."""
    if not output.exists():
        return
    if not output.is_dir():
        raise BundleError(f"{output}: exists and is not a bundle; name another --output")
    found = {str(path.relative_to(output)) for path in output.rglob("*") if not path.is_dir()}
    foreign = found - _own_files(output)
    if foreign:
        raise BundleError(f"{output}: holds {min(foreign)}, which is no part of a bundle; name another --output")


def publish(work: Path, manifest: Manifest, output: Path) -> None:
    """Put the manifest and its files, of `work`, in place of `output`, all or nothing.

    Any error of `prove` before that.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{output.name}.new-", dir=output.parent))
    try:
        fresh.chmod(0o755)
        for name in manifest.files:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            _put(work / name, fresh / name)
        manifest.write(fresh)
        prove(fresh)
        _replace(output, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def prove(folder: Path) -> None:
    """A CSTMError unless the bundle opens, every file is what its manifest says, and each backend that it was made for
    and that runs here gives the recorded masks in each precision."""
    bundle = Bundle(folder)
    for name in bundle.manifest.files:
        bundle.file(name)
    pairs, _ = runnable(bundle)
    for found, precision in pairs:
        for linked in PROVING.get(found.name, ()):
            open_chain(bundle, found.name, precision, linked).chain.close()


def tools() -> dict[str, str]:
    """Versions of what a bundle is made with."""
    found = {name: installed_version(name) for name in TOOLS}
    machine = {"python": platform.python_version(), "platform": platform.platform()}
    return machine | {name: version for name, version in found.items() if version}


def _own_files(folder: Path) -> set[str]:
    """What a bundle's manifest lists, and the manifest, of whatever schema; nothing when there is no such manifest."""
    try:
        recorded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {*recorded["files"], MANIFEST} if {"schema", "contract"} <= recorded.keys() else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _replace(output: Path, fresh: Path) -> None:
    """`fresh` takes the place of `output`, which comes back where that fails."""
    if not output.exists():
        fresh.rename(output)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{output.name}.old-", dir=output.parent))
    output.rename(old / "bundle")
    try:
        fresh.rename(output)
    except BaseException:
        (old / "bundle").rename(output)
        raise
    finally:
        shutil.rmtree(old)


def _put(source: Path, target: Path) -> None:
    """A link to the file where that can be. ONNX is copied: onnx takes weights from no file that has several links."""
    if source.suffix != ".onnx":
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)
