"""Where a build's weights and words come from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cstm.data import vocabulary
from cstm.errors import CheckpointError
from cstm.files import atomic_path, sha256
from cstm.models.checkpoint import load_checkpoint, read_metadata, read_tokenizer, save_checkpoint
from cstm.models.config import RANDOM_WEIGHTS, CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.seeded import seeded
from cstm.models.weights import SHIPPED
from cstm.runtime.bundle import TOKENIZER, WORD_VECTORS_FILE


@dataclass(frozen=True)
class Source:
    """A checkpoint file, or a preset with seeded weights, or with neither the shipped checkpoint; and its words."""

    checkpoint: Path | None = None
    preset: str | None = None
    glove: Path | None = None
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        if self.checkpoint and self.preset:
            raise CheckpointError("--checkpoint holds its own configuration; leave out --preset")
        for file in filter(None, (self.checkpoint, self.glove, self.tokenizer)):
            if not file.is_file():
                raise CheckpointError(f"{file}: no such file; check the path")

    @property
    def file(self) -> Path:
        """The checkpoint's file, where there is no preset."""
        return self.checkpoint or SHIPPED

    @property
    def is_ours(self) -> bool:
        """Whether there is a checkpoint in our format."""
        return not self.preset and self.file.suffix == ".safetensors"

    def preset_name(self) -> str:
        """The network's preset, after which the bundle is named."""
        if self.preset:
            return self.preset
        return read_metadata(self.file)[0].preset if self.is_ours else "released"

    def fingerprint(self) -> dict[str, str | None]:
        """What the weights depend on."""
        return {"preset": self.preset} if self.preset else {"sha256": sha256(self.file)}

    def text_fingerprint(self) -> dict[str, str | None]:
        """What the tokenizer and the word vectors depend on."""
        files = {"glove": self.glove, "tokenizer": self.tokenizer}
        return {name: sha256(file) if file else None for name, file in files.items()} | self.fingerprint()

    def load(self) -> CSTM:
        """The network."""
        return seeded(CSTMConfig.from_preset(self.preset)) if self.preset else load_checkpoint(self.file)

    def write_checkpoint(self, path: Path) -> None:
        """The network at `path`, as our .safetensors: that file itself, once read, or what was loaded or seeded.

        CheckpointError when it cannot be loaded.
        """
        model = self.load()
        if self.is_ours:
            with atomic_path(path) as temporary:
                shutil.copyfile(self.file, temporary)
        else:
            save_checkpoint(model, path)

    def write_text_files(self, config: CSTMConfig, provenance: dict[str, Any], folder: Path) -> None:
        """The tokenizer and, for a GRU, the word vectors. CheckpointError when the checkpoint needs others."""
        if config.text == "gru":
            words, vectors = self._word_vectors(config, provenance)
            tokenizer = vocabulary.wordlevel_tokenizer(words)
            with atomic_path(folder / WORD_VECTORS_FILE) as temporary:
                np.save(temporary, vectors)
        else:
            trained = provenance["kind"] not in RANDOM_WEIGHTS
            tokenizer = vocabulary.tokenizer_for(config, self.tokenizer, self._own_tokenizer(), trained)
        with atomic_path(folder / TOKENIZER) as temporary:
            tokenizer.save(str(temporary))

    def _own_tokenizer(self) -> str | None:
        return read_tokenizer(self.file) if self.is_ours else None

    def _word_vectors(self, config: CSTMConfig, provenance: dict[str, Any]) -> tuple[list[str], np.ndarray]:
        if self.glove:
            return vocabulary.read_glove(self.glove, config.word_vector_width)
        if provenance["kind"] not in RANDOM_WEIGHTS:
            raise CheckpointError("the checkpoint reads GloVe word vectors; name their text file with --glove")
        words = vocabulary.words()
        return list(words), vocabulary.seeded_vectors(config, words)
