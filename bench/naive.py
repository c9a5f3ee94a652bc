"""What rewriting and linking the network is worth: the bundle's program against the whole network as it is.

Printed by `cstm naive`.

The whole network runs under torch.compile, or from one ONNX file of the reference: six mask heads, CMAM's keys at every
position, coordinates beside the features, the text read again for every frame; nothing folded but what the backend
folds by itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cstm.models.contract import CLIP, MASK_LOGITS, TEXT_ENCODER, Component, TensorSpec, contract, program
from cstm.runtime.backends.open_model import OPEN_MODEL
from cstm.runtime.bundle import CHECKPOINT, Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session
from cstm.runtime.timing import medians

if TYPE_CHECKING:
    import torch

WARM_UP = 3
TORCH_COMPILE = "torch_compile"
# What runs the whole network -> the backend on which ours is set against it.
PEERS = {"onnxruntime": "onnxruntime", "openvino": "openvino", TORCH_COMPILE: "openvino"}


def naive_component(bundle: Bundle) -> Component:
    """The whole network as one component: the clip and the text in, the mask logits out."""
    text = next(iter(contract(bundle.config).values())).inputs
    config = bundle.config
    clip = TensorSpec(CLIP, (3, config.frames, config.size, config.size), "uint8")
    return Component("naive", (clip, *text), (TensorSpec(MASK_LOGITS, (1, config.size, config.size)),))


def naive_module(bundle: Bundle) -> torch.nn.Module:
    """The bundle's network as the paper has it: `naive_component`'s inputs to six response maps, the finest first."""
    import torch

    from cstm.models.checkpoint import load_checkpoint
    from cstm.models.text import text_argument

    class Naive(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = load_checkpoint(bundle.file(CHECKPOINT)).eval()

        def forward(self, clip: torch.Tensor, *text: torch.Tensor) -> tuple[torch.Tensor, ...]:
            finest, *others = reversed(self.model(clip.float() / 255, text_argument(text)))
            return finest[:, None], *others

    return Naive().eval()


def export_naive(bundle: Bundle, path: Path) -> None:
    """Write the bundle's network, as the paper has it, to `path`."""
    import torch

    from cstm.export.to_onnx import random_tensor
    from cstm.graph.slim import OPSET, quiet

    component, rng = naive_component(bundle), np.random.default_rng(0)
    example = tuple(torch.from_numpy(random_tensor(spec, 1, rng)) for spec in component.inputs)
    names = [MASK_LOGITS, *(f"response_{level}" for level in range(5))]
    with quiet(), torch.inference_mode():
        torch.onnx.export(
            naive_module(bundle),
            example,
            path,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[spec.name for spec in component.inputs],
            output_names=names,
            verbose=False,
        )


class CompiledSession(Session):
    """The whole network under torch.compile."""

    def __init__(self, bundle: Bundle):
        super().__init__(naive_component(bundle))
        import torch

        self._run = torch.compile(naive_module(bundle))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        import torch

        with torch.inference_mode():
            finest, *_ = self._run(*(torch.from_numpy(inputs[spec.name]) for spec in self.specs.inputs))
        return {MASK_LOGITS: finest.numpy()}


def compare(bundle: Bundle, peer: str, repeats: int) -> dict:
    """{naive_ms, chain_ms, ratio, difference}: medians of one more frame for one sentence, taking turns; the linked
    chain has read the sentence before, the whole network cannot. difference: largest, of the two answers' logits.

    peer: of PEERS, which runs the whole network.
    """
    open_ = OPEN_MODEL[PEERS[peer]]
    inputs, _ = bundle.golden()
    sessions = {name: open_(part, bundle.model(name, "fp32")) for name, part in program(bundle.config).items()}
    with _whole(bundle, peer) as naive, Chain(bundle.config, sessions) as chain:
        given = naive.specs.pick(inputs)
        language_plan = chain.language_plan(chain.components[TEXT_ENCODER].pick(inputs))
        runs = {
            "naive": lambda: naive.run(given)[MASK_LOGITS],
            "chain": lambda: chain.mask_logits(inputs, language_plan),
        }
        answers = {name: run() for name, run in runs.items()}
        naive_ms, chain_ms = (1e3 * seconds for seconds in medians(list(runs.values()), repeats, WARM_UP))
    difference = float(np.abs(answers["naive"] - answers["chain"]).max())
    return {"naive_ms": naive_ms, "chain_ms": chain_ms, "ratio": naive_ms / chain_ms, "difference": difference}


def _whole(bundle: Bundle, peer: str) -> Session:
    if peer == TORCH_COMPILE:
        return CompiledSession(bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "naive.onnx"
        export_naive(bundle, path)
        return OPEN_MODEL[peer](naive_component(bundle), path)
