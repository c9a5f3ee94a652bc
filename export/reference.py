"""What every check of a build is held against: PyTorch with the checkpoint, on real frames and sentences."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from cstm.calibration.inputs import component_inputs, real_samples
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.files import atomic_path
from cstm.models.checkpoint import read_metadata
from cstm.models.contract import FRAME_GRAPH, MASK_LOGITS, TEXT_ENCODER, chain_inputs, contract, frame_graph
from cstm.runtime.backends.torch import TorchSession, torch_sessions
from cstm.runtime.bundle import CHECKPOINT, GOLDEN, TOKENIZER, WORD_VECTORS_FILE
from cstm.runtime.chain import Chain
from cstm.runtime.text import SentenceReader

SAMPLES = "samples.npz"
COUNT = 3


class Reference:
    """The network whose checkpoint and words lie in a build's folder. What takes memory is loaded when first asked for.

    config, provenance: of the checkpoint. components: the contract's.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.config, self.provenance = read_metadata(folder / CHECKPOINT)
        self.components = contract(self.config)

    @property
    def words(self) -> list[str]:
        """The files that turn a sentence into the network's input."""
        return [TOKENIZER, WORD_VECTORS_FILE] if self.config.text == "gru" else [TOKENIZER]

    @cached_property
    def reader(self) -> SentenceReader:
        """The reader of sentences."""
        vectors = np.load(self.folder / WORD_VECTORS_FILE) if self.config.text == "gru" else None
        return SentenceReader(self.config, self.folder / TOKENIZER, vectors)

    @cached_property
    def sessions(self) -> dict[str, TorchSession]:
        """The PyTorch components, on the CPU."""
        return torch_sessions(self.folder / CHECKPOINT, device="cpu")

    @cached_property
    def chain(self) -> Chain:
        """They in a row."""
        return Chain(self.config, self.sessions)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Real inputs of the chain, a few samples stacked."""
        with np.load(self.folder / SAMPLES) as arrays:
            return dict(arrays)

    @cached_property
    def component_samples(self) -> dict[str, dict[str, np.ndarray]]:
        """Real inputs of every component, and of the linked graph, which takes all sentences on one frame."""
        found = dict(component_inputs(self.chain, self.samples))
        values = self.samples | self.chain.language_plan(found[TEXT_ENCODER])
        inputs = frame_graph(self.config).inputs
        return found | {FRAME_GRAPH: {s.name: values[s.name][:1] if s.once else values[s.name] for s in inputs}}

    def write_samples(self) -> None:
        """Put real inputs, and the recorded inference, the first of them with its logits, into the folder."""
        samples = real_samples(self.config, self.reader, DEMO_VIDEO, list(DEMO_SENTENCES), COUNT)
        golden = {spec.name: samples[spec.name][:1] for spec in chain_inputs(self.config)}
        golden[MASK_LOGITS] = self.chain(golden)
        for name, arrays in ((SAMPLES, samples), (GOLDEN, golden)):
            with atomic_path(self.folder / name) as temporary:
                np.savez(temporary, allow_pickle=False, **arrays)

    def forget(self) -> None:
        """Give the memory back; what is asked for again is loaded again."""
        for name in ("sessions", "chain", "samples", "component_samples"):
            self.__dict__.pop(name, None)
