"""Data-parallel training: every process makes its share of the batch, and all take the mean of the gradients."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from cstm.console import run_command
from cstm.errors import RequestError
from cstm.signals import ends_on_signals

PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Place:
    """A process among `count`; number 0 validates, reports and saves."""

    number: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports."""
        return self.number == 0

    def device(self) -> str:
        """A GPU of its own, or the CPU."""
        return f"cuda:{self.number}" if torch.cuda.is_available() else "cpu"

    def mean_gradients(self, parameters: Iterable[torch.nn.Parameter], loss: torch.Tensor) -> torch.Tensor:
        """Replace every gradient by its mean over the processes; the mean of the losses."""
        if self.count == 1:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([loss.detach().reshape(1), *(g.reshape(-1) for g in gradients)])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = flat[1:].split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return flat[0]


ALONE = Place()


def in_processes(count: int, work: Callable[[Place], int]) -> int:
    """Call `work` with its place in `count` processes, this one when it is alone; the first exit code that is not 0."""
    if count == 1:
        return work(ALONE)
    if torch.cuda.is_available() and count > torch.cuda.device_count():
        raise RequestError(f"--processes {count}: this machine has {torch.cuda.device_count()} GPUs; ask for so many")
    from torch import multiprocessing

    with tempfile.TemporaryDirectory() as folder:
        arguments = count, f"file://{folder}/meeting", work
        running = multiprocessing.spawn(_work, arguments, nprocs=count, join=False)
        try:
            with ends_on_signals():
                while not running.join():
                    pass
        except multiprocessing.ProcessExitedException as error:
            return error.exit_code
        finally:
            for process in running.processes:
                process.terminate()
    return 0


def _work(number: int, count: int, meeting: str, work: Callable[[Place], int]) -> None:
    kind = "nccl" if torch.cuda.is_available() else "gloo"
    if kind == "nccl":
        torch.cuda.set_device(number)
    distributed.init_process_group(kind, meeting, PATIENCE, count, number)
    try:
        code = run_command(lambda: work(Place(number, count)))
    finally:
        distributed.destroy_process_group()
    if code:
        sys.exit(code)
