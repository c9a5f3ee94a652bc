"""A bundle or a checkpoint on a dataset's annotated samples: `cstm eval`. What the figures mean: `bench.metrics`."""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from abc import ABC, abstractmethod
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAVY
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from cstm.bench.metrics import AUTHORS, NAMES, REACHES, Outcome, check_protocol, summarise
from cstm.console import make_console
from cstm.data.sample import Dataset
from cstm.data.window import AUTHORS as AUTHORS_WINDOW
from cstm.data.window import CENTRED
from cstm.errors import RequestError
from cstm.files import atomic_path
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME
from cstm.runtime.bundle import TOKENIZER, WORD_VECTORS_FILE
from cstm.runtime.postprocess import masks, probabilities, scores
from cstm.runtime.segmenter import Segmenter, UntrainedWarning
from cstm.runtime.text import SentenceReader, stack

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".tar")
BATCH = 8
TITLES = ("mean IoU", "overall IoU", "mAP", *(name.upper().replace("0.", ".") for name in NAMES[3:]))


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

    def __exit__(self, *_) -> None:
        self.close()


class ModelPredictor(Predictor):
    """The PyTorch reference, on the device of its weights. model: a cstm.models.cstm.CSTM; put in evaluation mode."""

    def __init__(self, model, reader: SentenceReader):
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


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    protocol: str = AUTHORS,
    batch: int = BATCH,
    limit: int | None = None,
    progress: bool = True,
) -> list[Outcome]:
    """The outcome of each of the dataset's references, or of the first `limit`, in their order.

    protocol: "authors" or "mttr", which decides how a probability becomes a mask, whatever the network's own rule.
    batch: samples in memory at a time. progress: show a bar on standard error, where that is a terminal.
    RequestError on another protocol, batch or limit; QueryError, before anything runs, when a sentence cannot be read;
    CSTMError when a sample cannot.
    """
    check_protocol(protocol)
    if batch < 1 or (limit is not None and limit < 1):
        raise RequestError(f"batch={batch}, limit={limit}: must be 1 or more")
    references = dataset.references[:limit]
    for sentence in {reference.sentence: None for reference in references}:
        predictor.reader(sentence)
    outcomes = []
    with _bar(progress) as bar:
        task = bar.add_task(predictor.name, total=len(references))
        for start in range(0, len(references), batch):
            samples = [dataset.load(reference) for reference in references[start : start + batch]]
            clips = np.stack([sample.clip for sample in samples])
            likely = probabilities(predictor(clips, [sample.reference.sentence for sample in samples]))
            for sample, response, score in zip(samples, likely, scores(likely), strict=True):
                found = cut(response, sample.mask.shape, protocol)
                outcomes.append(Outcome.of(sample.reference, found, sample.mask, score))
            bar.advance(task, len(samples))
    return outcomes


def cut(response: np.ndarray, size: tuple[int, int], protocol: str) -> np.ndarray:
    """Probabilities [R,R] -> mask bool [H,W], as the protocol has it.

    "authors": above half of the highest, after resizing, as at run time (theirs cuts, then resizes the mask).
    "mttr": above 0.5 at the network's size, then the nearest pixel.
    """
    if protocol == AUTHORS:
        return masks(response[None], size, "half_max")[0]
    rows, columns = (np.arange(length) * side // length for length, side in zip(size, response.shape, strict=True))
    return response[np.ix_(rows, columns)] > 0.5


def table(figures: dict) -> Table:
    """What `metrics.summarise` gives, in per cent; under the first two rows the 95 % intervals that there are."""
    shown = Table("", "n", *TITLES, title=f"{figures['protocol']} protocol, %", box=SIMPLE_HEAVY, padding=0)

    def add(title: str, values: dict, **row) -> None:
        shown.add_row(title, str(values["n"]), *(_percent(values[name]) for name in NAMES), **row)

    def add_intervals(ci: dict) -> None:
        shown.add_row("  95 %", "", *(_interval(ci.get(name)) for name in NAMES), style="dim", end_section=True)

    add("all", figures)
    add_intervals(figures["ci"])
    add("non-trivial", figures["non_trivial"])
    add_intervals({"mean_iou": figures["ci"]["non_trivial_mean_iou"]})
    for kind in ("per_actor", "per_action"):
        for name, values in figures[kind].items():
            add(name, values, end_section=name == list(figures[kind])[-1])
    return shown


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `predictor_of`."""
    parser.add_argument("model", type=Path, metavar="BUNDLE|CHECKPOINT", help="a bundle's folder, .safetensors or .pth")
    parser.add_argument("--backend", metavar="B", help="a bundle's, see cstm doctor (default: auto)")
    parser.add_argument("--precision", metavar="P", help="a bundle's: fp32, fp16, bf16, int8 (default: the backend's)")
    parser.add_argument("--glove", type=Path, metavar="F", help="GloVe's text file, for a checkpoint that reads it")
    parser.add_argument("--tokenizer", type=Path, metavar="F", help="tokenizer.json, for a checkpoint that holds none")


def predictor_of(arguments: argparse.Namespace) -> Predictor:
    """The predictor that the command line names."""
    words = arguments.glove, arguments.tokenizer
    return open_predictor(arguments.model, arguments.backend, arguments.precision, *words)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the evaluation."""
    add_model_arguments(parser)
    parser.add_argument("--data", required=True, metavar="sprites|DIR", help="the generated sprites, or a data set")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--protocol", choices=REACHES, default=AUTHORS, help=f"default: {AUTHORS}")
    parser.add_argument("--window", choices=(CENTRED, AUTHORS_WINDOW), default=CENTRED, help=f"default: {CENTRED}")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate as the command line says, and print the table; 0. Errors as in `open_predictor` and `evaluate`."""
    from cstm.data.open import SPRITES, open_dataset

    check_protocol(arguments.protocol)
    with (
        atomic_path(arguments.json) if arguments.json else nullcontext() as file,
        predictor_of(arguments) as predictor,
    ):
        dataset = open_dataset(arguments.data, arguments.split, predictor.config, arguments.window)
        figures = summarise(evaluate(predictor, dataset, arguments.protocol, limit=arguments.limit), arguments.protocol)
        make_console().print(table(figures))
        window = f"{arguments.window} window"
        print(f"{figures['n']} samples of {arguments.data} {arguments.split}, {window}, on {predictor.name}")
        if arguments.data != SPRITES:
            print(dataset.check_official_counts())
        if file:
            file.write_text(json.dumps(figures, indent=1, allow_nan=False), encoding="utf-8")
    return 0


def _bar(wanted: bool) -> Progress:
    console = make_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not wanted or not console.is_terminal
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _interval(ci: list[float] | None) -> str:
    return "–".join(map(_percent, ci)) if ci else ""
