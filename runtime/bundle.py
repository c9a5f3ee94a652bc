"""A bundle on disk: manifest, components in every precision, engines, tokenizer, recorded inference."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from cstm.errors import BundleError
from cstm.files import sha256
from cstm.models.config import CSTMConfig
from cstm.models.contract import MASK_LOGITS, chain_inputs, contract
from cstm.models.weights import SHIPPED
from cstm.runtime.text import SentenceReader

SCHEMA = 1
SHIPPED_BUNDLE = Path(__file__).parent / "shipped"  # what the wheel carries, from `make wheel`
MANIFEST = "manifest.json"
TOKENIZER, WORD_VECTORS_FILE, GOLDEN, CHECKPOINT = (
    "tokenizer.json",
    "word_vectors.npy",
    "golden.npz",
    "checkpoint.safetensors",
)


def onnx_file(component: str, precision: str) -> str:
    """Where a bundle keeps a component's ONNX model, relative to its folder."""
    return f"onnx/{precision}/{component}.onnx"


def engine_file(component: str, precision: str, module: str) -> str:
    """Where a bundle keeps a component's TensorRT engine, relative to its folder."""
    return f"engines/{module}/{precision}/{component}.engine"


def contract_record(config: CSTMConfig) -> list[dict]:
    """The contract as JSON, recorded in manifests so that code with another contract refuses the bundle."""
    return json.loads(json.dumps([asdict(component) for component in contract(config).values()]))


class Bundle:
    """A checked bundle. Opening checks the schema, the contract and that every file is there, whole; each file's hash
    is checked when `file` first hands it out, so nothing unverified is ever used.

    config: the network's. trained: whether masks mean anything. max_batch: most sentences in one inference.
    precisions: those whose ONNX models it holds.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.manifest = self._read_manifest()
        try:
            self.config = CSTMConfig.from_dict(self.manifest["config"])
            self.provenance = self.manifest["provenance"]
            self.max_batch, self.precisions = int(self.manifest["max_batch"]), tuple(self.manifest["precisions"])
            self._engines = {(e["module"], e["precision"], e["component"]): e for e in self.manifest["engines"]}
            self._files = {name: (r["sha256"], int(r["bytes"])) for name, r in self.manifest["files"].items()}
            same = self.manifest["contract"] == contract_record(self.config)
            if self.max_batch < 1:
                raise ValueError(f"max_batch {self.max_batch}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"{self.path}: the manifest is not understood ({error}); rebuild with cstm build"
            ) from error
        if not same:
            raise BundleError(f"{self.path}: built for another contract between components; rebuild with cstm build")
        self._check_files()
        self._verified: set[str] = set()

    @property
    def trained(self) -> bool:
        """Whether the weights were learnt."""
        return bool(self.provenance.get("trained"))

    def engines(self, module: str, precision: str) -> dict[str, dict] | None:
        """The engines of one TensorRT module and precision by component; None unless there is one for each."""
        found = {name: self._engines.get((module, precision, name)) for name in contract(self.config)}
        return found if all(found.values()) else None

    def file(self, name: str) -> Path:
        """The path of a file of the bundle whose hash agrees with the manifest. BundleError otherwise."""
        if name not in self._files:
            raise BundleError(f"{self.path}: holds no {name}; rebuild with cstm build")
        path = self._place(name)
        if name not in self._verified:
            if sha256(path) != self._files[name][0]:
                raise BundleError(f"{path}: altered since the bundle was built; rebuild it or copy it again")
            self._verified.add(name)
        return path

    @cached_property
    def reader(self) -> SentenceReader:
        """The reader of sentences for this network."""
        vectors = np.load(self.file(WORD_VECTORS_FILE), mmap_mode="r") if self.config.text == "gru" else None
        return SentenceReader(self.config, self.file(TOKENIZER), vectors)

    def golden(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The recorded inference: the chain's inputs by name, and PyTorch's mask logits [B,1,R,R] for them."""
        with np.load(self.file(GOLDEN)) as arrays:
            return {spec.name: arrays[spec.name] for spec in chain_inputs(self.config)}, arrays[MASK_LOGITS]

    def _place(self, name: str) -> Path:
        """Where a file lies. The bundle in the wheel leaves the checkpoint out: it is the one that ships beside it."""
        path = self.path / name
        return SHIPPED if name == CHECKPOINT and self.path == SHIPPED_BUNDLE and not path.exists() else path

    def _read_manifest(self) -> dict:
        path = self.path / MANIFEST
        if not path.is_file():
            raise BundleError(f"{self.path}: not a bundle (no {MANIFEST}); make one with cstm build")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            schema = manifest["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: not a bundle's manifest ({error}); rebuild with cstm build") from error
        if schema != SCHEMA:
            raise BundleError(f"{path}: schema {schema}, this version reads {SCHEMA}; rebuild with cstm build")
        return manifest

    def _check_files(self) -> None:
        for name, (_, size) in self._files.items():
            path = self._place(name)
            if not path.is_file():
                raise BundleError(f"{path}: missing from the bundle; rebuild it or copy it again")
            if path.stat().st_size != size:
                raise BundleError(f"{path}: altered since the bundle was built; rebuild it or copy it again")
