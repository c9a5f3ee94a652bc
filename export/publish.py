"""The finished bundle: its manifest, its closing table, and its appearance all at once."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import tempfile
from pathlib import Path

from rich.table import Table

from cstm.errors import BundleError
from cstm.export.steps import Steps
from cstm.models.config import RANDOM_WEIGHTS, CSTMConfig
from cstm.models.contract import TEXT_ENCODER
from cstm.packages import installed_version
from cstm.runtime.bundle import MANIFEST, SCHEMA, contract_record

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
    """BundleError unless `output` is a bundle with nothing added, an empty folder or nothing: no work is ever lost."""
    if not output.exists():
        return
    if not output.is_dir():
        raise BundleError(f"{output}: exists and is not a bundle; name another --output")
    found = {str(path.relative_to(output)) for path in output.rglob("*") if not path.is_dir()}
    foreign = found - _own_files(output / MANIFEST)
    if foreign:
        raise BundleError(f"{output}: holds {min(foreign)}, which is no part of a bundle; name another --output")


def _own_files(path: Path) -> set[str]:
    """What a bundle's manifest lists, and the manifest; nothing when there is no such manifest."""
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return {*recorded["files"], MANIFEST} if {"schema", "contract"} <= recorded.keys() else set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def manifest(config: CSTMConfig, provenance: dict, steps: Steps, files: list[str], **facts) -> dict:
    """A bundle's manifest. files: of the steps' folder. facts: max_batch, precisions, engines, built, parity."""
    return {
        "schema": SCHEMA,
        "config": config.to_dict(),
        "contract": contract_record(config),
        "provenance": provenance | {"trained": provenance["kind"] not in RANDOM_WEIGHTS},
        **facts,
        "tools": tools(),
        "files": {
            name: {"sha256": steps.digest(name), "bytes": (steps.folder / name).stat().st_size}
            for name in sorted(files)
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
            try:
                fresh.rename(output)
            except BaseException:
                (old / "bundle").rename(output)
                raise
            finally:
                shutil.rmtree(old)
        else:
            fresh.rename(output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def table(rows: list[dict], whole: dict[str, int]) -> Table:
    """Component by precision: nodes, MACs, size, build time, error against PyTorch. whole: from `reference_macs`."""
    shown = Table("component", "precision", "format", "nodes", "GMACs", "MB", "built in", "error against PyTorch")
    for row in rows:
        error = row.get("error")
        shown.add_row(
            row["component"],
            row["precision"],
            f"{row['kind']}, {row['attention']}" if "attention" in row else row["kind"],
            str(row.get("nodes", "")),
            f"{row['macs'] / 1e9:.2f}" if "macs" in row else "",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['seconds']:.1f} s",
            f"{error['absolute']:.1e} abs, {error['relative']:.1e} rel" if error else "",
        )
    macs = {row["component"]: row["macs"] for row in rows if "macs" in row}
    left_out = ", ".join(f"{name} {count / 1e9:.1f}" for name, count in whole.items() if name != "whole")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    shown.caption = (
        f"{sum(macs.values()) / 1e9:.1f} GMACs for one sentence and one frame; "
        f"{(whole['whole'] + macs[TEXT_ENCODER]) / 1e9:.1f} before the exact rewrites (left out: {left_out}). "
        f"At most {peak:.1f} GB of memory. Engines are compared by cstm parity, where a GPU is."
    )
    return shown


def tools() -> dict[str, str]:
    """Versions of what a bundle is made with."""
    found = {name: installed_version(name) for name in TOOLS}
    machine = {"python": platform.python_version(), "platform": platform.platform()}
    return machine | {name: version for name, version in found.items() if version}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
