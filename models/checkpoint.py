"""Checkpoints: ours, a .safetensors file that says what network it is of, and the authors', by `load_checkpoint`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from cstm.errors import CheckpointError
from cstm.files import as_path, atomic_path
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.released import released_to_ours
from cstm.models.tensors import check_fit, read_tensors

SUFFIX = ".safetensors"


def save_checkpoint(model: CSTM, path: str | Path) -> None:
    """Write weights, configuration, provenance and tokenizer to `path` (.safetensors), atomically."""
    from safetensors.torch import save_file

    metadata = {"config": json.dumps(model.config.to_dict()), "provenance": json.dumps(model.provenance)}
    if model.tokenizer:
        metadata["tokenizer"] = model.tokenizer
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_checkpoint(path: str | Path) -> CSTM:
    """The network in a checkpoint, in evaluation mode.

    path: our `.safetensors`, or the authors' file: `torch.save` of {"state_dict": ...} or of the bare dict, with or
    without a `module.` prefix (loaded with weights_only=True, as preset "released").
    CheckpointError when the file cannot be read, or listing missing, unexpected, misshapen and mistyped tensors.
    """
    path = _existing(path)
    content = _read_ours(path) if path.suffix == SUFFIX else _read_released(path)
    with torch.device("meta"):  # shapes alone: a configuration that is not the weights' own allocates nothing
        check_fit(CSTM(content.config).state_dict(), content.tensors, path)
    model = CSTM(content.config, content.provenance)
    model.tokenizer = content.tokenizer
    model.load_state_dict(content.tensors, strict=False)
    return model.eval()


def read_metadata(path: str | Path) -> tuple[CSTMConfig, dict]:
    """Configuration and provenance of one of our checkpoints, without its weights. CheckpointError when it is none."""
    path = _existing(path)
    metadata = _header(path)
    try:
        config = CSTMConfig.from_dict(json.loads(metadata["config"]))
        provenance = json.loads(metadata["provenance"])
    except KeyError as error:
        raise _not_ours(path, f"its header holds no {error}") from error
    except (ValueError, RecursionError) as error:
        raise _not_ours(path, error) from error
    if not isinstance(provenance, dict) or not isinstance(provenance.get("kind"), str):
        raise _not_ours(path, "its provenance has no kind")
    return config, provenance


def read_tokenizer(path: str | Path) -> str | None:
    """The tokenizer.json in one of our checkpoints, as text, or None. CheckpointError when it is no such file."""
    return _header(_existing(path)).get("tokenizer")


@dataclass(frozen=True)
class _Content:
    config: CSTMConfig
    provenance: dict
    tensors: dict[str, torch.Tensor]
    tokenizer: str | None = None


def _read_ours(path: Path) -> _Content:
    from safetensors.torch import load_file

    config, provenance = read_metadata(path)
    try:
        tensors = load_file(path)
    except Exception as error:  # besides its own, safetensors raises KeyError and others on types unknown to PyTorch
        raise _not_ours(path, error) from error
    return _Content(config, provenance, tensors, read_tokenizer(path))


def _read_released(path: Path) -> _Content:
    tensors = {released_to_ours(name): tensor for name, tensor in read_tensors(path).items()}
    return _Content(CSTMConfig.from_preset("released"), {"kind": "released", "file": path.name}, tensors)


def _header(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _not_ours(path, error) from error


def _not_ours(path: Path, reason: object) -> CheckpointError:
    said = " ".join(str(reason).split())[:300]
    return CheckpointError(f"{path}: not a CSTM checkpoint ({said}); make one with save_checkpoint")


def _existing(path: str | Path) -> Path:
    """`path`, where it names a file."""
    path = as_path(path, CheckpointError, f"a checkpoint, a {SUFFIX} or .pth file")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; name a {SUFFIX} or .pth file")
    return path
