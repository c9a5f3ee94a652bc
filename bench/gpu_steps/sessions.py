"""Do our sessions keep the order of the GPU's work? PyTorch's work, some of it slow, stands in for TensorRT's engines.

Whatever is missing, a wait or somebody who holds memory, shows as a wrong answer, as far as slowness can show it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import torch

from cstm.bench.gpu_steps import torch_engine
from cstm.bench.gpu_steps.place import Found, Place, same, tell
from cstm.bench.gpu_steps.torch_engine import FRAME, X, open_session, toy_inputs, toy_output
from cstm.bench.gpu_steps.torch_side import SLOW, TorchSide
from cstm.errors import ParityError
from cstm.runtime.tensorrt_session import TensorRTSession
from cstm.runtime.workspace import Workspace

FAST = 10  # cycles
ROUNDS, CALLS = 20, 200


class Order:
    """fast, slow: sessions by how long a run of theirs takes the GPU."""

    def __init__(self, side: TorchSide):
        torch_engine.use(side)
        self.side = side
        self.fast, self.slow = open_session(FAST), open_session(SLOW)

    def batches(self) -> None:
        """Both profiles, and the same batch again."""
        for batch in (1, 4, 4, 2, 1):
            given = toy_inputs(batch, seed=batch)
            same(self.slow.run(given)["y"], toy_output(given), f"a batch of {batch}")

    def chained(self) -> None:
        """A session that reads another's output, which is overwritten at once."""
        for seed in range(ROUNDS):
            given, later = toy_inputs(3, seed), toy_inputs(3, seed + ROUNDS)
            first = self.fast.enqueue(given)["y"]
            second = self.slow.enqueue({"x": first, "frame": given["frame"]})["y"]
            self.fast.enqueue(later)
            expected = toy_output({"x": toy_output(given), "frame": given["frame"]})
            same(second.to_numpy(), expected, f"chain {seed}")

    def host_arrays_changed(self) -> None:
        """Arrays of the host that are changed as soon as the run is queued."""
        given, later = toy_inputs(2), toy_inputs(2, seed=1)
        expected = toy_output(given)
        kept = self.slow.enqueue(given)["y"].copy()
        for array in given.values():
            array.fill(7)
        same(self.slow.enqueue(later)["y"].to_numpy(), toy_output(later), "the run after")
        same(kept.to_numpy(), expected, "arrays changed at once")

    def tensors_let_go(self) -> None:
        """Tensors whose memory PyTorch would give to others while the run is still to read it."""
        given = toy_inputs(4)
        tensors = self._on_gpu(given)
        answer = self.slow.enqueue(tensors)["y"]
        del tensors
        overwriting = [torch.full(X.with_batch(4), 7.0, device=self.side.device) for _ in range(8)]
        same(answer.to_numpy(), toy_output(given), "tensors let go at once")
        del overwriting

    def after_torch(self) -> None:
        """Inputs that PyTorch is still at work on: on a stream of its own, by DLPack, and on the default one."""
        for stream, show in ((self.side.own_stream, self.side.by_dlpack), (None, self.side.by_interface)):
            given = toy_inputs(2)
            frame = self.side.tensor(given["frame"])
            with stream() if stream else torch.no_grad():
                x, added = (torch.zeros(X.with_batch(2), device=self.side.device) for _ in range(2))
                added.copy_(torch.from_numpy(given["x"]))
                self.side.sleep(10 * SLOW)
                x += added
                answer = self.fast.enqueue({"x": show(x), "frame": self.side.by_dlpack(frame)})["y"]
            same(answer.to_numpy(), toy_output(given), "PyTorch's work under way")

    def before_torch(self) -> None:
        """Outputs that PyTorch reads while they are made."""
        given = toy_inputs(3)
        answer = self.slow.run(self._on_gpu(given))["y"]
        same(torch.from_dlpack(answer).cpu().numpy(), toy_output(given), "PyTorch reads")

    def badly_placed(self) -> None:
        """A tensor whose address TensorRT would not take."""
        given = toy_inputs(3)
        shifted = np.concatenate([np.zeros(1, np.uint8), given["frame"].ravel()])
        frame = self.side.tensor(shifted)[1:].view(FRAME.with_batch(3))
        answer = self.slow.enqueue({"x": given["x"], "frame": self.side.by_dlpack(frame)})["y"]
        same(answer.to_numpy(), toy_output(given), "an odd address")

    def shared_scratch(self) -> None:
        """Two sessions that keep what they have half done in the same memory."""
        workspace = Workspace()
        with open_session(SLOW, workspace=workspace) as one, open_session(SLOW, workspace=workspace) as two:
            for seed in range(ROUNDS):
                givens = [toy_inputs(2, seed + ROUNDS * i) for i in range(2)]
                answers = [s.enqueue(given)["y"] for s, given in zip((one, two), givens, strict=True)]
                for answer, given in zip(answers, givens, strict=True):
                    same(answer.to_numpy(), toy_output(given), "shared scratch memory")

    def thread(self) -> None:
        """A second thread."""
        given, found = toy_inputs(4), []
        thread = threading.Thread(target=lambda: found.append(self.slow.run(given)["y"]))
        thread.start()
        thread.join()
        if not found:
            raise ParityError("a second thread could not run the session; its error is above")
        same(found[0], toy_output(given), "a second thread")

    def _on_gpu(self, given: dict[str, np.ndarray]) -> dict[str, Any]:
        return {name: self.side.by_dlpack(self.side.tensor(array)) for name, array in given.items()}


CHECKS = (
    Order.batches,
    Order.chained,
    Order.host_arrays_changed,
    Order.tensors_let_go,
    Order.after_torch,
    Order.before_torch,
    Order.badly_placed,
    Order.shared_scratch,
    Order.thread,
)


def run(place: Place) -> Found:
    """Every check in turn, and what a call costs. ParityError where a check fails."""
    order = Order(TorchSide(place))
    for check in CHECKS:
        tell(check.__name__.replace("_", " "))
        check(order)
    microseconds = call_cost(order.fast)
    figures = {"orders": [check.__name__ for check in CHECKS], "call_us": microseconds}
    return Found(f"{len(CHECKS)} orders right; a call takes the host {microseconds:.0f} us, host arrays in", figures)


def call_cost(session: TensorRTSession) -> float:
    """Microseconds of a call with arrays of the host, which a GPU as fast as this engine keeps up with."""
    given = toy_inputs(1)
    session.run(given)
    start = time.perf_counter()
    for _ in range(CALLS):
        session.enqueue(given)
    session.stream.sync()
    return round(1e6 * (time.perf_counter() - start) / CALLS, 1)
