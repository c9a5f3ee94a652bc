"""Where a build's weights and words come from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cstm.data import vocabulary
from cstm.errors import CheckpointError
from cstm.files import atomic_path, sha256
from cstm.models.config import CSTMConfig
from cstm.runtime.bundle import TOKENIZER, WORD_VECTORS_FILE

DEFAULT_PRESET = "tiny"


@dataclass(frozen=True)
class Source:
    """A checkpoint file, or a preset with seeded weights; and the words that go with it."""

    checkpoint: Path | None = None
    preset: str | None = None
    glove: Path | None = None
    tokenizer: Path | None = None

    def __post_init__(self):
        if self.checkpoint and self.preset:
            raise CheckpointError("--checkpoint holds its own configuration; leave out --preset")

    def name(self) -> str:
        """The bundle's default name."""
        return self.checkpoint.stem if self.checkpoint else self.preset or DEFAULT_PRESET

    def fingerprint(self) -> dict:
        """What the weights depend on."""
        if self.checkpoint is None:
            return {"preset": self.preset or DEFAULT_PRESET}
        if not self.checkpoint.is_file():
            raise CheckpointError(f"{self.checkpoint}: no such checkpoint; name a .safetensors or .pth file")
        return {"sha256": sha256(self.checkpoint)}

    def text_fingerprint(self) -> dict:
        """What the tokenizer and the word vectors depend on."""
        return {f.name: sha256(f) for f in (self.glove, self.tokenizer) if f and f.is_file()}

    def load(self):
        """The network, a cstm.models.cstm.CSTM."""
        from cstm.models.checkpoint import load_checkpoint, seeded

        if self.checkpoint:
            return load_checkpoint(self.checkpoint)
        return seeded(CSTMConfig.from_preset(self.preset or DEFAULT_PRESET))

    def write_text_files(self, config: CSTMConfig, folder: Path) -> None:
        """The tokenizer and, for a GRU, the word vectors. CheckpointError when the checkpoint needs others."""
        if config.text == "gru":
            words, vectors = self._word_vectors(config)
            tokenizer = vocabulary.wordlevel_tokenizer(words)
            with atomic_path(folder / WORD_VECTORS_FILE) as temporary:
                np.save(temporary, vectors)
        elif self.tokenizer:
            if not self.tokenizer.is_file():
                raise CheckpointError(f"{self.tokenizer}: no such tokenizer file")
            with atomic_path(folder / TOKENIZER) as temporary:
                shutil.copyfile(self.tokenizer, temporary)
            return
        else:
            tokenizer = vocabulary.wordpiece_tokenizer()
            if tokenizer.get_vocab_size() > config.vocabulary:
                raise CheckpointError("the checkpoint has a vocabulary of its own; name its file with --tokenizer")
        with atomic_path(folder / TOKENIZER) as temporary:
            tokenizer.save(str(temporary))

    def _word_vectors(self, config):
        if self.glove:
            return vocabulary.read_glove(self.glove, config.word_vector_width)
        if self.checkpoint:
            raise CheckpointError("the checkpoint reads GloVe word vectors; name their text file with --glove")
        words = vocabulary.words()
        return list(words), vocabulary.seeded_vectors(config, words)


def read_config(checkpoint: Path) -> CSTMConfig:
    """The configuration in one of our checkpoints, without reading its weights."""
    return CSTMConfig.from_dict(read_metadata(checkpoint)["config"])


def read_metadata(checkpoint: Path) -> dict:
    """{"config": ..., "provenance": ...} of one of our checkpoints."""
    import json

    from safetensors import safe_open

    with safe_open(checkpoint, framework="np") as file:
        return {name: json.loads(value) for name, value in file.metadata().items()}
