"""Are runs of our sessions and kernels replayed as CUDA graphs, and do replays read their inputs anew?"""

from __future__ import annotations

from contextlib import closing

import torch

from cstm.bench.gpu_steps import torch_engine
from cstm.bench.gpu_steps.operators import OPERATORS, Operator, answer_error, places
from cstm.bench.gpu_steps.place import Found, Place, same, tell
from cstm.bench.gpu_steps.sessions import FAST, call_cost
from cstm.bench.gpu_steps.torch_engine import Context, open_session, toy_inputs, toy_output
from cstm.bench.gpu_steps.torch_side import TorchSide
from cstm.errors import ParityError
from cstm.runtime.tensorrt_session import TensorRTSession

PLAIN_RUNS = 2  # the first of a kind, and the one that is recorded beside it
RUNS = 6


def run(place: Place) -> Found:
    """ParityError where a replay is wrong, or where there is none."""
    side = TorchSide(place)
    torch_engine.use(side)
    with closing(open_session(FAST)) as session, closing(open_session(FAST)) as plain:
        plain.graphs.problem = "to compare with"
        tell("a session's runs")
        _check_session(session, side)
        costs = {"plain": call_cost(plain), "replayed": call_cost(session)}
    errors = {name: _replay_error(name, side) for name in OPERATORS}
    said = f"a call takes the host {costs['plain']:.0f} us plainly, {costs['replayed']:.0f} us replayed"
    return Found(f"sessions and {' and '.join(errors)} right; {said}", {"call_us": costs, "error": errors})


def _check_session(session: TensorRTSession, side: TorchSide) -> None:
    """Runs at the same addresses, whose values change from one to the next."""
    tensors = {name: side.tensor(array) for name, array in toy_inputs(2).items()}
    before = Context.launched
    for seed in range(RUNS):
        given = toy_inputs(2, seed)
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(given[name]))
        answer = session.enqueue({name: side.by_dlpack(tensor) for name, tensor in tensors.items()})["y"]
        same(answer.to_numpy(), toy_output(given), f"run {seed}")
    if session.graphs.problem:
        raise ParityError(f"no graph: {session.graphs.problem}")
    launched = Context.launched - before
    if launched != PLAIN_RUNS + 1:  # and the recording itself
        raise ParityError(f"of {RUNS} runs {launched} went to the engine, instead of to a graph")


def _replay_error(name: str, side: TorchSide) -> float:
    """Of an operator of ours in a CUDA graph, after its inputs have changed."""
    tell(f"{name} in a graph")
    shape = next(shape for operator, _, shape in places(side.dry) if operator == name)
    operator = Operator.make(name, shape, "fp16", side.device)
    replay = side.captured(operator.run)
    for tensor in operator.maps:
        tensor.mul_(-0.5)
    operator.out.zero_()
    replay()
    error, bound = answer_error(operator.out, operator.expected(), "fp16")
    if not error < bound:
        raise ParityError(f"{name}: a replay is off by {error:.1e}, more than {bound:.1e}")
    return error
