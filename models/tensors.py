"""Tensors out of a file of PyTorch's, renamed, and into a module: all of them fit, or none is taken."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cstm.errors import CheckpointError

Rules: TypeAlias = Sequence[tuple[str, "str | Callable[[re.Match[str]], str]"]]


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors, on the CPU, in a file of `torch.save`: a dict of them, or {"state_dict": ...} around one.

    Code in the file is not run. CheckpointError when it cannot be read, or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of odd files
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a file that is none of its own, PyTorch's reader raises all kinds
        raise CheckpointError(f"{path}: {_complaint(error)}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(k, str) and _plain(v) for k, v in content.items()):
        raise CheckpointError(
            f'{path}: expected a dict of tensors by name, or {{"state_dict": ...}} around one; save a state_dict()'
        )
    return dict(content)


def _complaint(error: Exception) -> str:
    """PyTorch's own message would advise to run whatever code the file holds."""
    if foreign := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return f"holds {foreign[1]} besides tensors; save nothing but the network's state_dict()"
    return "is not a file of tensors that torch.load accepts, or is damaged; copy it again"


def _plain(value: object) -> bool:
    if not isinstance(value, Tensor) or type(value) not in (Tensor, nn.Parameter):
        return False
    return value.layout == torch.strided and value.device.type == "cpu"


def rename(name: str, rules: Rules) -> str:
    """`name` after every rule, (pattern, replacement) as `re.sub` takes them, in turn."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy `tensors` into `module`. CheckpointError, with nothing copied, as `check_fit`."""
    check_fit(module.state_dict(), tensors, path)
    module.load_state_dict(tensors, strict=False)


def check_fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """CheckpointError that lists missing, unexpected, misshapen and mistyped tensors of the file `path`.

    expected: a state dict, which may be on the device "meta". Batch norm's counters may be missing. Floating point of
    any width fits floating point.
    """
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    both = expected.keys() & tensors.keys()
    problems = {
        "missing": expected.keys() - tensors.keys() - counters,
        "unexpected": tensors.keys() - expected.keys(),
        "misshapen": {
            f"{name} {tuple(tensors[name].shape)} for {tuple(expected[name].shape)}"
            for name in both
            if tensors[name].shape != expected[name].shape
        },
        "mistyped": {
            f"{name} {_dtype(tensors[name])} for {_dtype(expected[name])}"
            for name in both
            if expected[name].is_floating_point() and not tensors[name].is_floating_point()
        },
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {_listing(found)}" for kind, found in problems.items() if found)
        raise CheckpointError(f"{path} does not fit the network; {listed}")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _listing(names: Iterable[str], most: int = 8, longest: int = 120) -> str:
    found = sorted(names)
    shown = [(name if name.isprintable() else repr(name))[:longest] for name in found[:most]]
    return ", ".join(shown) + (f" and {len(found) - most} more" if len(found) > most else "")
