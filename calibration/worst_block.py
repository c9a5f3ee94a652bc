"""What costs most in a plan that costs too much."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from cstm.calibration.held_out import HeldOut
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.quantiser import Quantiser
from cstm.models.contract import contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain


def worst_block(quantiser: Quantiser, plan: PrecisionPlan, held_out: HeldOut, folder: Path) -> tuple[str, float]:
    """The block of a plan that costs most on its own, as "component block", and by how much mean IoU drops."""
    components = contract(quantiser.config)
    costs = {}
    with ExitStack() as stack:
        base = {n: stack.enter_context(OnnxRuntimeSession(c, quantiser.models[n])) for n, c in components.items()}
        for name, block in ((n, b) for n, blocks in plan.int8.items() for b in blocks):
            path = Path(folder) / f"{name}-{block}.onnx"
            quantiser.write(name, (block,), "cpu", path)
            with OnnxRuntimeSession(components[name], path) as session:
                chain = Chain(quantiser.config, base | {name: session})
                costs[f"{name} {block}"] = held_out.measure(chain).drop
    return max(costs.items(), key=lambda item: item[1])
