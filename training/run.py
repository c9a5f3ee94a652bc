"""A run: the network, the words and the batches that its options name, trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cstm.data.open import SPRITES, open_dataset
from cstm.data.readable import check_readable
from cstm.data.vocabulary import tokenizer_for
from cstm.errors import CheckpointError, RequestError
from cstm.models.backbones import load_bert, load_i3d, load_resnet50
from cstm.models.checkpoint import load_checkpoint
from cstm.models.config import STREAMS, CSTMConfig
from cstm.models.cstm import CSTM
from cstm.runtime.manifest import MANIFEST
from cstm.runtime.text import SentenceReader
from cstm.training.batches import Batches, DatasetBatches, HeldOut, SpriteBatches
from cstm.training.options import CHECKPOINT, STATE, TrainOptions
from cstm.training.parallel import Place
from cstm.training.trainer import Trainer, write_options

DEFAULT_PRESET = "tiny"
HELD_OUT_SEED = 1000  # unlike the one that `cstm eval` is given
LOADERS = {"resnet50": load_resnet50, "i3d": load_i3d, "bert": load_bert}


@dataclass(frozen=True)
class NetworkChoice:
    """The network to train.

    start: a checkpoint to begin with, which brings its own network. Without: preset, cmam, lgfs (stages that LGFS
    weighs; None: the preset's), and the backbones' files. streams: encoders in use (None: the preset's or the
    checkpoint's); tokenizer: a tokenizer.json (None: the weights' own, or A2D's words).
    """

    preset: str | None = None
    start: Path | None = None
    streams: tuple[str, ...] | None = None
    cmam: bool = True
    lgfs: tuple[int, ...] | None = None
    backbones: dict[str, Path] = dataclasses.field(default_factory=dict)
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        if self.start is None:
            return
        given = {"preset": self.preset, "no-cmam": not self.cmam, "lgfs": self.lgfs is not None, **self.backbones}
        named = [f"--{name}" for name, value in given.items() if value]
        if named:
            raise RequestError(f"--from brings its own network; leave out {', '.join(named)}")


def check_folder(out: Path, resume: bool, force: bool) -> None:
    """RequestError when a new run in `out` would write over another's state or checkpoint, or into a bundle."""
    if resume or force:
        return
    if (out / STATE).exists():
        raise RequestError(f"{out} holds a run; go on with it with --resume, or name another folder")
    if (out / CHECKPOINT).exists():
        raise RequestError(
            f"{out} holds a {CHECKPOINT}, which a new run would write over; name another folder, or --force"
        )
    if (out / MANIFEST).exists():
        raise RequestError(f"{out} is a bundle, which a run would spoil; name another folder, or --force")


def train(
    choice: NetworkChoice, options: TrainOptions, out: Path, resume: bool, until: int | None, place: Place
) -> int:
    """One process's part of the run; 0."""
    import torch

    torch.manual_seed(options.seed)
    model = network(choice, options)
    options = dataclasses.replace(options, size=model.config.size)
    reader = sentence_reader(choice, model)
    batches, held_out = sources(options, model.config, reader)
    provenance = {"from": str(choice.start or "nothing")}
    trainer = Trainer(model, batches, held_out, reader, options, out, provenance, place)
    if resume:
        trainer.resume()
    elif place.leads:
        (out / STATE).unlink(missing_ok=True)  # of a run written over: nobody shall go on with that as this one
        write_options(out, options, model.config)
    trainer(until=until)
    return 0


def network(choice: NetworkChoice, options: TrainOptions) -> CSTM:
    """The network to train, with fresh weights or those of a checkpoint or of backbones that the user names."""
    if choice.start:
        model = load_checkpoint(choice.start)
        if choice.streams:
            model = _with_streams(model, choice.streams)
        model.config = dataclasses.replace(model.config, size=options.size or model.config.size)
        return model
    model = CSTM(_config(choice, options))
    for name, file in choice.backbones.items():
        LOADERS[name](model, file)
    return model


def _with_streams(model: CSTM, streams: tuple[str, ...]) -> CSTM:
    """`model` with other encoders: what the two networks share keeps its weights, the rest is fresh."""
    streams = _ordered(streams)
    stages = model.config.lgfs_stages if len(streams) == len(STREAMS) else ()
    changed = CSTM(dataclasses.replace(model.config, streams=streams, lgfs_stages=stages), model.provenance)
    changed.tokenizer = model.tokenizer
    own = changed.state_dict()
    shared = {n: t for n, t in model.state_dict().items() if n in own and own[n].shape == t.shape}
    changed.load_state_dict(shared, strict=False)
    return changed


def _config(choice: NetworkChoice, options: TrainOptions) -> CSTMConfig:
    changes: dict = {"size": options.size} if options.size else {}
    if choice.streams:
        changes["streams"] = _ordered(choice.streams)
    if not choice.cmam:
        changes["cmam"] = False
    if choice.lgfs is not None or len(changes.get("streams", STREAMS)) == 1:
        changes["lgfs_stages"] = tuple(sorted(choice.lgfs or ()))
    try:
        return CSTMConfig.from_preset(choice.preset or DEFAULT_PRESET, **changes)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _ordered(streams: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(stream for stream in STREAMS if stream in streams)


def sentence_reader(choice: NetworkChoice, model: CSTM) -> SentenceReader:
    """The reader of the run's sentences. CheckpointError as `tokenizer_for`, or when the network reads GloVe."""
    if model.config.text == "gru":
        raise CheckpointError("the preset released reads GloVe; train paper or tiny, whose words are learnt")
    learnt = model.trained or "bert" in choice.backbones
    return SentenceReader(model.config, tokenizer_for(model.config, choice.tokenizer, model.tokenizer, learnt))


def sources(options: TrainOptions, config: CSTMConfig, reader: SentenceReader) -> tuple[Batches, Batches]:
    """(training batches of one process's share, held-out batches). QueryError, with its place in the dataset, when a
    sentence cannot be read."""
    share = options.batch // options.processes
    if options.data == SPRITES:
        held_out = SpriteBatches(options.seed + HELD_OUT_SEED, options.batch, config, "test")
        return SpriteBatches(options.seed, share, config, actions=options.actions), held_out
    train_set, test_set = (open_dataset(options.data, split, config, options.window) for split in ("train", "test"))
    for dataset in (train_set, test_set):
        check_readable(dataset, dataset.references, reader)
    print(train_set.check_official_counts())
    return DatasetBatches(train_set, options.seed, share), HeldOut(test_set, options.batch, options.held_out)
