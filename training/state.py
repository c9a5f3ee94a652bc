"""Everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch.amp import GradScaler
from torch.optim import Optimizer

from cstm.errors import CheckpointError
from cstm.files import atomic_path
from cstm.models.cstm import CSTM


class Average:
    """A running mean of a network's weights and statistics: share `keep` of the old, the rest of the new."""

    def __init__(self, model: CSTM, keep: float):
        self.model, self.keep = copy.deepcopy(model).eval(), keep

    @torch.no_grad()
    def update(self, model: CSTM, step: int) -> None:
        """Take in the weights after update `step`; early on, the mean follows them closely."""
        keep = min(self.keep, (1 + step) / (10 + step)) if self.keep else 0.0
        mine, theirs = list(self.model.state_dict().values()), list(model.state_dict().values())
        real = [i for i, tensor in enumerate(mine) if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[i] for i in real], [theirs[i] for i in real], 1 - keep)
        for i in set(range(len(mine))) - set(real):  # batch norms' counters
            mine[i].copy_(theirs[i])


def save_state(
    path: Path, step: int, options: dict, model: CSTM, average: Average, optimizer: Optimizer, scaler: GradScaler
) -> None:
    """Write the state after update `step`, atomically."""
    state = {
        "step": step,
        "options": options,
        "config": model.config.to_dict(),
        "tokenizer": model.tokenizer,
        "model": model.state_dict(),
        "average": average.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_state(path: Path) -> dict:
    """A saved state. CheckpointError when it is absent or broken."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no run to resume here; leave out --resume to start one")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises half a dozen kinds for a broken file
        raise CheckpointError(f"{path}: cannot be read ({error}); start anew in another folder") from error


def restore(state: dict, model: CSTM, average: Average, optimizer: Optimizer, scaler: GradScaler) -> int:
    """Put a state back; the number of updates done."""
    model.load_state_dict(state["model"])
    average.model.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    return state["step"]
