"""What a bundle says of itself: one record, which the build writes and whoever opens the bundle reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cstm.errors import BundleError
from cstm.files import write_json
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract

SCHEMA = 2
RECALL = 0.95  # of those who are there, at the threshold of presence
MANIFEST = "manifest.json"
REBUILD = "rebuild with cstm build"


@dataclass(frozen=True)
class BuiltWith:
    """What an engine is tied to. tensorrt: the version of its backend's module. gpu: the GPU's name, where engines run
    on that model alone, else None. attention: whether CMAM and LGFS are TensorRT's layers, "native", or our kernels,
    "plugin". hardware_compatible: for any GPU from Ampere on. version_compatible: for later versions of the same major
    one as well."""

    tensorrt: str
    gpu: str | None
    attention: str = "native"
    hardware_compatible: bool = False
    version_compatible: bool = False


@dataclass(frozen=True)
class EngineRecord:
    """One engine. backend: "tensorrt" or "tensorrt_rtx". file: relative to the bundle's folder."""

    component: str
    backend: str
    precision: str
    file: str
    built_with: BuiltWith


@dataclass(frozen=True)
class FileRecord:
    """One file, as it was when the bundle was built. sha256: 64 hexadecimal digits."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class PresenceRecord:
    """How a response map tells whether its actor is there: `runtime.presence`.

    slope, bias: from its evidence to log-odds. threshold: the log-odds that RECALL of those who are there reach.
    auroc, false_positives: of what it was fitted on: the area under the ROC curve, and the share of absent ones that
    reach the threshold. present, absent: how many sentences about them.
    """

    slope: float
    bias: float
    threshold: float
    auroc: float
    false_positives: float
    present: int
    absent: int


@dataclass(frozen=True)
class Manifest:
    """files: by name relative to the folder. precisions: of the ONNX models. provenance: where the weights are from.
    presence: None where nothing was fitted.

    The rest is for people. built: a row for each file made. parity: of each precision's chain, in ONNX Runtime, against
    PyTorch. accuracy: what each precision costs in mean IoU. kept_in_fp32: what FP16 cannot hold. plan, calibration: of
    INT8. tools: versions of what it was made with.
    """

    config: CSTMConfig
    provenance: Mapping[str, Any]
    max_batch: int
    precisions: tuple[str, ...]
    engines: tuple[EngineRecord, ...]
    files: Mapping[str, FileRecord]
    presence: PresenceRecord | None = None
    built: Sequence[Mapping[str, Any]] = ()
    parity: Sequence[Mapping[str, Any]] = ()
    accuracy: Sequence[Mapping[str, Any]] = ()
    kept_in_fp32: Sequence[Mapping[str, Any]] = ()
    plan: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    tools: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Put it into the bundle's folder, with the schema's number and the contract between components."""
        record = {"schema": SCHEMA, "contract": contract_record(self.config)} | asdict(self)
        write_json(folder / MANIFEST, record | {"config": self.config.to_dict()})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Of the bundle in `folder`. BundleError where there is none, it is another schema's, its components do not fit
        this code's contract, or it makes no sense."""
        record = _load(folder / MANIFEST)
        if record["schema"] != SCHEMA:
            raise BundleError(f"{folder}: schema {record['schema']}, this version reads {SCHEMA}; {REBUILD}")
        try:
            made = cls(**_typed(record))
            same = record["contract"] == contract_record(made.config)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"{folder}: the manifest is not understood ({error}); {REBUILD}") from error
        if not same:
            raise BundleError(f"{folder}: built for another contract between components; {REBUILD}")
        return made


def contract_record(config: CSTMConfig) -> list[dict[str, Any]]:
    """The contract as JSON, recorded in manifests so that code with another contract refuses the bundle."""
    return json.loads(json.dumps([asdict(component) for component in contract(config).values()]))


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"{path.parent}: not a bundle (no {MANIFEST}); make one with cstm build")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path}: not a bundle's manifest ({error}); {REBUILD}") from error
    return record


def _typed(record: dict[str, Any]) -> dict[str, Any]:
    """JSON -> the fields. KeyError, TypeError, ValueError or AttributeError where one is missing or no such thing."""
    told = {name: value for name, value in record.items() if name not in ("schema", "contract")}
    max_batch = record["max_batch"]
    if type(max_batch) is not int or max_batch < 1:
        raise ValueError(f"max_batch {max_batch}")
    return told | {
        "config": CSTMConfig.from_dict(record["config"]),
        "provenance": dict(record["provenance"]),
        "precisions": tuple(_name(precision) for precision in record["precisions"]),
        "engines": tuple(_engine(**entry) for entry in record["engines"]),
        "presence": _presence(**record["presence"]) if record.get("presence") else None,
        "files": {_inside(name): _file(**entry) for name, entry in record["files"].items()},
    }


def _engine(component: str, backend: str, precision: str, file: str, built_with: dict[str, Any]) -> EngineRecord:
    return EngineRecord(component, backend, precision, _inside(file), BuiltWith(**built_with))


def _presence(slope: float, bias: float, threshold: float, **told: Any) -> PresenceRecord:
    if not all(map(math.isfinite, (slope, bias, threshold))):
        raise ValueError(f"presence {slope}, {bias}, {threshold}")
    return PresenceRecord(slope, bias, threshold, **told)


def _file(sha256: str, bytes: int) -> FileRecord:
    return FileRecord(_name(sha256), int(bytes))


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _inside(name: str) -> str:
    """The name of a file, which must not lead out of the bundle's folder."""
    path = PurePosixPath(_name(name))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name} lies outside the bundle")
    return name
