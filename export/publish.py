"""The finished bundle: its manifest, its closing table, and its appearance all at once."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from rich.table import Table

from cstm.errors import BundleError
from cstm.export import sources
from cstm.models.config import RANDOM_WEIGHTS
from cstm.runtime.bundle import CHECKPOINT, MANIFEST, SCHEMA, contract_record

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


def check_replaceable(output: Path) -> None:
    """BundleError when `output` is something other than a bundle, an empty folder or nothing: it is never removed."""
    if output.exists() and not (output / MANIFEST).is_file() and (output.is_file() or any(output.iterdir())):
        raise BundleError(f"{output}: exists and is not a bundle; name another --output")


def manifest(build, parity: list[dict], engines: list[dict]) -> dict:
    """The manifest of a finished build (a BuildBundle)."""
    provenance = sources.read_metadata(build.folder / CHECKPOINT)["provenance"]
    trained = provenance["kind"] not in RANDOM_WEIGHTS
    return {
        "schema": SCHEMA,
        "config": build.config.to_dict(),
        "contract": contract_record(build.config),
        "provenance": provenance | {"trained": trained},
        "max_batch": build.options.max_batch,
        "precisions": list(build.options.precisions),
        "engines": engines,
        "built": build.rows,
        "parity": parity,
        "tools": _tools(),
        "files": {
            name: {"sha256": build.steps.digest(name), "bytes": (build.folder / name).stat().st_size}
            for name in sorted(build.files)
        },
    }


def publish(work: Path, files: list[str], manifest: dict, output: Path) -> None:
    """Put `files` of `work` and the manifest in place of `output`, all or nothing. Files are linked, not copied."""
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{output.name}.new-", dir=output.parent))
    try:
        fresh.chmod(0o755)
        for name in files:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            _link(work / name, fresh / name)
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if output.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{output.name}.old-", dir=output.parent))
            output.rename(old / "bundle")
            fresh.rename(output)
            shutil.rmtree(old)
        else:
            fresh.rename(output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def table(rows: list[dict]) -> Table:
    """Component by precision: nodes, MACs, size, build time, error against PyTorch."""
    shown = Table("component", "precision", "format", "nodes", "GMACs", "MB", "built in", "error against PyTorch")
    for row in rows:
        error = row.get("error")
        shown.add_row(
            row["component"],
            row["precision"],
            row["kind"],
            str(row.get("nodes", "")),
            f"{row['macs'] / 1e9:.2f}" if "macs" in row else "",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['seconds']:.1f} s",
            f"{error['absolute']:.1e} abs, {error['relative']:.1e} rel" if error else "",
        )
    total = sum(row.get("macs", 0) for row in rows if row["precision"] == rows[0]["precision"])
    shown.caption = f"{total / 1e9:.1f} GMACs for one sentence and one frame. Engines: cstm parity, where a GPU is."
    return shown


def _tools() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
