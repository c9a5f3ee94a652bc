"""PyTorch eager: the reference itself, from the bundle's checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from cstm.models.contract import Component, contract
from cstm.runtime.backends import Backend
from cstm.runtime.bundle import CHECKPOINT, Bundle
from cstm.runtime.session import Session

if TYPE_CHECKING:
    from torch import nn


class TorchSession(Session):
    """Runs a component's module in FP32, on the device of its weights."""

    def __init__(self, specs: Component, module: nn.Module):
        super().__init__(specs)
        self.module = module

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        import torch

        self.specs.check_inputs(inputs)
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.ascontiguousarray(inputs[s.name])).to(device) for s in self.specs.inputs]
            outputs = self.module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return {spec.name: out.cpu().numpy() for spec, out in zip(self.specs.outputs, outputs, strict=True)}


class TorchBackend(Backend):
    """PyTorch in FP32, on the GPU where there is one."""

    package, extra = "torch", "export"

    def import_library(self) -> ModuleType:
        """As Backend.import_library."""
        import torch

        return torch

    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """As Backend.precisions."""
        return ("fp32",)

    def links(self, bundle: Bundle, precision: str) -> bool:
        """As Backend.links: it is the reference, and stays as the checkpoint has it."""
        return False

    def open(self, bundle: Bundle, precision: str, components: Iterable[str] | None = None) -> dict[str, Session]:
        """As Backend.open; the checkpoint is read once."""
        sessions = torch_sessions(bundle.file(CHECKPOINT))
        return {name: sessions[name] for name in components or sessions}

    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """As Backend.open_component."""
        return self.open(bundle, precision, [component])[component]


def torch_sessions(checkpoint: Path, device: str | None = None) -> dict[str, TorchSession]:
    """The components of a checkpoint, in the contract's order. device: None for the GPU where there is one."""
    import torch

    from cstm.models.checkpoint import load_checkpoint
    from cstm.models.components import component_modules

    model = load_checkpoint(checkpoint)
    if device is None and torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False
        device = "cuda"
    modules = component_modules(model.to(device or "cpu"))
    return {name: TorchSession(specs, modules[name]) for name, specs in contract(model.config).items()}


def make(name: str) -> Backend:
    """The backend."""
    return TorchBackend(name)
