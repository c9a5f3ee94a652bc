"""A bundle on disk: manifest, components in every precision, engines, tokenizer, recorded inference."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from cstm.errors import BundleError, CSTMError
from cstm.files import as_path, sha256
from cstm.models.contract import FRAME_GRAPH, MASK_LOGITS, chain_inputs, contract, frame_components, program
from cstm.models.weights import SHIPPED
from cstm.runtime.manifest import REBUILD, EngineRecord, Manifest
from cstm.runtime.text import SentenceReader

SHIPPED_BUNDLE = Path(__file__).parent / "shipped"  # what the wheel carries, from `make wheel`
TOKENIZER, WORD_VECTORS_FILE, GOLDEN, CHECKPOINT = (
    "tokenizer.json",
    "word_vectors.npy",
    "golden.npz",
    "checkpoint.safetensors",
)


def onnx_file(component: str, precision: str) -> str:
    """Where a bundle keeps a component's ONNX model, relative to its folder."""
    return f"onnx/{precision}/{component}.onnx"


def engine_file(component: str, precision: str, backend: str) -> str:
    """Where a bundle keeps a component's TensorRT engine, relative to its folder."""
    return f"engines/{backend}/{precision}/{component}.engine"


class Bundle:
    """A checked bundle. Opening checks the schema, the contract and that every file is there, whole; each file's hash
    is checked when `file` first hands it out, so nothing unverified is ever used.

    config: the network's. trained: whether masks mean anything. max_batch: most sentences in one inference.
    precisions: those whose ONNX models it holds.
    """

    def __init__(self, path: str | Path):
        self.path = as_path(path, BundleError, "a bundle's folder")
        self.manifest = Manifest.read(self.path)
        self.config, self.provenance = self.manifest.config, self.manifest.provenance
        self.max_batch, self.precisions = self.manifest.max_batch, self.manifest.precisions
        self._check_files()
        self._verified: set[str] = set()

    @property
    def trained(self) -> bool:
        """Whether the weights were learnt."""
        return bool(self.provenance.get("trained"))

    def engines(self, backend: str, precision: str) -> dict[str, EngineRecord]:
        """The engines of one TensorRT and precision by component; none unless there is one for each, linked or not."""
        found = {e.component: e for e in self.manifest.engines if (e.backend, e.precision) == (backend, precision)}
        whole = any(found.keys() >= names(self.config).keys() for names in (contract, program))
        return found if whole else {}

    def holds(self, component: str, precision: str) -> bool:
        """Whether there is an ONNX model of a component, or of the linked graph, in `precision`."""
        return onnx_file(component, precision) in self.manifest.files

    def model(self, component: str, precision: str) -> Path:
        """The path of an ONNX model, as `file`, and with it those that hold its weights."""
        if component == FRAME_GRAPH:
            for name in frame_components(self.config):
                self.file(onnx_file(name, precision))
        return self.file(onnx_file(component, precision))

    def file(self, name: str) -> Path:
        """The path of a file of the bundle whose hash agrees with the manifest. BundleError otherwise."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: holds no {name}; {REBUILD}")
        path = self._place(name)
        if name not in self._verified:
            if sha256(path) != self.manifest.files[name].sha256:
                raise BundleError(f"{path}: altered since the bundle was built; rebuild it or copy it again")
            self._verified.add(name)
        return path

    @cached_property
    def reader(self) -> SentenceReader:
        """The reader of sentences for this network."""
        with self._understood("its words"):
            vectors = np.load(self.file(WORD_VECTORS_FILE), mmap_mode="r") if self.config.text == "gru" else None
            return SentenceReader(self.config, self.file(TOKENIZER), vectors)

    def golden(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The recorded inference: the chain's inputs by name, and PyTorch's mask logits [B,1,R,R] for them."""
        with self._understood("its recorded inference"), np.load(self.file(GOLDEN)) as arrays:
            return {spec.name: arrays[spec.name] for spec in chain_inputs(self.config)}, arrays[MASK_LOGITS]

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """BundleError where a file, unaltered since it was built, holds no such thing."""
        try:
            yield
        except CSTMError:
            raise
        except Exception as error:  # of such files, tokenizers and numpy raise all kinds
            raise BundleError(f"{self.path}: {what} cannot be read ({reprlib.repr(error)}); {REBUILD}") from error

    def _place(self, name: str) -> Path:
        """Where a file lies. The bundle in the wheel leaves the checkpoint out: it is the one that ships beside it."""
        path = self.path / name
        return SHIPPED if name == CHECKPOINT and self.path == SHIPPED_BUNDLE and not path.exists() else path

    def _check_files(self) -> None:
        for name, record in self.manifest.files.items():
            path = self._place(name)
            if not path.is_file():
                raise BundleError(f"{path}: missing from the bundle; rebuild it or copy it again")
            if path.stat().st_size != record.bytes:
                raise BundleError(f"{path}: altered since the bundle was built; rebuild it or copy it again")
