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
    from torch import Tensor, nn


class OnDevice:
    """An output that stays on its device, for another session there. shape, dtype: as in numpy."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor
        self.shape, self.dtype = tuple(tensor.shape), np.dtype(str(tensor.dtype).removeprefix("torch."))

    def __getitem__(self, rows: slice) -> OnDevice:
        """Entries along the first axis, in the same memory."""
        return OnDevice(self.tensor[rows])

    def copy(self) -> OnDevice:
        """Itself: each run gives new ones."""
        return self

    def to_numpy(self) -> np.ndarray:
        """The values on the host."""
        return self.tensor.cpu().numpy()


class TorchSession(Session):
    """Runs a component's module in FP32, on the device of its weights.

    stays: whether `enqueue` leaves outputs there.
    """

    def __init__(self, specs: Component, module: nn.Module):
        super().__init__(specs)
        self.module = module
        self.device = next((parameter.device for parameter in module.parameters()), None)
        self.stays = self.device is not None and self.device.type != "cpu"

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        return {name: array.to_numpy() for name, array in self._outputs(inputs).items()}

    def enqueue(self, inputs: dict) -> dict:
        """As Session.enqueue: on a GPU nothing goes through the host between two sessions."""
        return self._outputs(inputs) if self.stays else self.run(inputs)

    def _outputs(self, inputs: dict) -> dict[str, OnDevice]:
        import torch

        self.specs.check_inputs(inputs)
        with torch.inference_mode():
            outputs = self.module(*(self._tensor(inputs[spec.name]) for spec in self.specs.inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return {s.name: OnDevice(out) for s, out in zip(self.specs.outputs, outputs, strict=True)}

    def _tensor(self, array: np.ndarray | OnDevice) -> Tensor:
        import torch

        if isinstance(array, OnDevice):
            return array.tensor
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


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
