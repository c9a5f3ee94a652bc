"""What rewriting and linking the network is worth: the bundle's program against the whole network exported as it is.

Printed by `cstm naive`.

The naive export is one ONNX file of the reference: six mask heads, CMAM's keys at every position, coordinates beside
the features, the text read again for every frame; nothing folded but what the backend folds by itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from cstm.models.contract import CLIP, MASK_LOGITS, TEXT_ENCODER, Component, TensorSpec, contract, program
from cstm.runtime.backends.open_model import OPEN_MODEL
from cstm.runtime.bundle import CHECKPOINT, Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.timing import medians

WARM_UP = 3


def naive_component(bundle: Bundle) -> Component:
    """The whole network as one component: the clip and the text in, the mask logits out."""
    text = next(iter(contract(bundle.config).values())).inputs
    config = bundle.config
    clip = TensorSpec(CLIP, (3, config.frames, config.size, config.size), "uint8")
    return Component("naive", (clip, *text), (TensorSpec(MASK_LOGITS, (1, config.size, config.size)),))


def export_naive(bundle: Bundle, path: Path) -> None:
    """Write the bundle's network, as the paper has it, to `path`."""
    import torch

    from cstm.export.to_onnx import random_tensor
    from cstm.graph.slim import OPSET, quiet
    from cstm.models.checkpoint import load_checkpoint
    from cstm.models.text import text_argument

    class Naive(torch.nn.Module):
        """All six response maps, the finest first."""

        def __init__(self) -> None:
            super().__init__()
            self.model = load_checkpoint(bundle.file(CHECKPOINT)).eval()

        def forward(self, clip: torch.Tensor, *text: torch.Tensor) -> tuple[torch.Tensor, ...]:
            finest, *others = reversed(self.model(clip.float() / 255, text_argument(text)))
            return finest[:, None], *others

    component, rng = naive_component(bundle), np.random.default_rng(0)
    example = tuple(torch.from_numpy(random_tensor(spec, 1, rng)) for spec in component.inputs)
    names = [MASK_LOGITS, *(f"response_{level}" for level in range(5))]
    with quiet(), torch.inference_mode():
        torch.onnx.export(
            Naive(),
            example,
            path,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[spec.name for spec in component.inputs],
            output_names=names,
            verbose=False,
        )


def compare(bundle: Bundle, backend: str, repeats: int) -> dict:
    """{naive_ms, chain_ms, ratio, difference}: medians of one more frame for one sentence, taking turns; the linked
    chain has read the sentence before, one file cannot. difference: largest, of the two answers' logits."""
    open_ = OPEN_MODEL[backend]
    inputs, _ = bundle.golden()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "naive.onnx"
        export_naive(bundle, path)
        sessions = {name: open_(part, bundle.model(name, "fp32")) for name, part in program(bundle.config).items()}
        whole = naive_component(bundle)
        with open_(whole, path) as naive, Chain(bundle.config, sessions) as chain:
            given, language_plan = whole.pick(inputs), chain.language_plan(chain.components[TEXT_ENCODER].pick(inputs))
            runs = {
                "naive": lambda: naive.run(given)[MASK_LOGITS],
                "chain": lambda: chain.mask_logits(inputs, language_plan),
            }
            answers = {name: run() for name, run in runs.items()}
            naive_ms, chain_ms = (1e3 * seconds for seconds in medians(list(runs.values()), repeats, WARM_UP))
    difference = float(np.abs(answers["naive"] - answers["chain"]).max())
    return {"naive_ms": naive_ms, "chain_ms": chain_ms, "ratio": naive_ms / chain_ms, "difference": difference}
