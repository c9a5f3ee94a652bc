"""A bundle or a checkpoint as a network that answers batches."""

from __future__ import annotations

import tempfile
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cstm.errors import RequestError
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME
from cstm.runtime.bundle import TOKENIZER, WORD_VECTORS_FILE
from cstm.runtime.segmenter import Segmenter, UntrainedWarning
from cstm.runtime.text import SentenceReader, stack

if TYPE_CHECKING:
    from cstm.models.cstm import CSTM

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".tar")


class Predictor(ABC):
    """A network that answers batches. A context manager. name: for people. config, reader: the network's."""

    def __init__(self, name: str, config: CSTMConfig, reader: SentenceReader):
        self.name, self.config, self.reader = name, config, reader

    def __call__(self, clips: np.ndarray, sentences: list[str]) -> np.ndarray:
        """Clips uint8 [B,3,T,R,R], the target frame at T // 2, and B sentences -> mask logits float32 [B,1,R,R].

        QueryError when a sentence cannot be read.
        """
        return self.mask_logits(clips, stack([self.reader(sentence) for sentence in sentences]))

    @abstractmethod
    def mask_logits(self, clips: np.ndarray, text: dict[str, np.ndarray]) -> np.ndarray:
        """As `__call__`, the sentences as the text encoder's inputs."""

    def close(self) -> None:  # noqa: B027 (a network in memory holds nothing)
        """Release what the predictor holds."""

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ModelPredictor(Predictor):
    """The PyTorch reference, on the device of its weights. model: put in evaluation mode."""

    def __init__(self, model: CSTM, reader: SentenceReader):
        super().__init__("PyTorch reference fp32", model.config, reader)
        self.model = model.eval()

    def mask_logits(self, clips: np.ndarray, text: dict[str, np.ndarray]) -> np.ndarray:
        """As Predictor.mask_logits."""
        import torch

        from cstm.models.text import text_argument

        device = next(self.model.parameters()).device
        with torch.inference_mode():
            video = torch.from_numpy(clips).to(device).float() / 255
            words = text_argument([torch.from_numpy(array).to(device) for array in text.values()])
            response = self.model.response_maps(video, words)[-1]
        return response[:, None].float().cpu().numpy()


class BundlePredictor(Predictor):
    """A bundle on one backend; errors and warnings as Segmenter's. Batches larger than the bundle's are divided."""

    def __init__(self, bundle: str | Path, backend: str = "auto", precision: str | None = None):
        self.segmenter = Segmenter(bundle, backend, precision)
        name = f"{self.segmenter.backend.name} {self.segmenter.precision}"
        super().__init__(name, self.segmenter.config, self.segmenter.bundle.reader)

    def mask_logits(self, clips: np.ndarray, text: dict[str, np.ndarray]) -> np.ndarray:
        """As Predictor.mask_logits."""
        inputs = {FRAME: np.ascontiguousarray(clips[:, :, clips.shape[2] // 2]), CLIP: clips, **text}
        most = self.segmenter.bundle.max_batch
        parts = [{name: array[i : i + most] for name, array in inputs.items()} for i in range(0, len(clips), most)]
        return np.concatenate([self.segmenter.chain(part) for part in parts])

    def close(self) -> None:
        """As Predictor.close."""
        self.segmenter.close()


def open_predictor(
    path: str | Path,
    backend: str | None = None,
    precision: str | None = None,
    glove: Path | None = None,
    tokenizer: Path | None = None,
) -> Predictor:
    """The predictor of a checkpoint (a file) or of a bundle (a folder).

    backend, precision: a bundle's, as in Segmenter; glove, tokenizer: a checkpoint's, as in `cstm build`. RequestError
    when given for the other; CheckpointError, BundleError or EngineError when it cannot be loaded.
    """
    path = Path(path)
    if path.is_file() or path.suffix in CHECKPOINTS:
        if backend or precision:
            raise RequestError(f"{path} is a checkpoint, which PyTorch runs in fp32; leave out --backend, --precision")
        return _open_checkpoint(path, glove, tokenizer)
    if glove or tokenizer:
        raise RequestError(f"{path} is a bundle, which holds its own words; leave out --glove and --tokenizer")
    return BundlePredictor(path, backend or "auto", precision)


def _open_checkpoint(path: Path, glove: Path | None, tokenizer: Path | None) -> ModelPredictor:
    import torch

    from cstm.export.sources import Source

    source = Source(checkpoint=path, glove=glove, tokenizer=tokenizer)
    model = source.load()
    if not model.trained:
        warnings.warn("the checkpoint holds untrained weights: its masks mean nothing", UntrainedWarning, stacklevel=3)
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False
        model = model.cuda()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source.write_text_files(model.config, model.provenance, folder)
        vectors = np.load(folder / WORD_VECTORS_FILE) if model.config.text == "gru" else None
        return ModelPredictor(model, SentenceReader(model.config, folder / TOKENIZER, vectors))
