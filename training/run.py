"""A run: the network, the words and the batches that its options name, trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cstm.data.open import SPRITES, open_dataset
from cstm.data.readable import check_readable
from cstm.data.real import LEFT_OUT, RealVideos
from cstm.data.vocabulary import tokenizer_for
from cstm.errors import CheckpointError, RequestError
from cstm.models.backbones import load_bert, load_efficientnet, load_i3d, load_resnet50
from cstm.models.checkpoint import load_checkpoint
from cstm.models.config import STREAMS, CSTMConfig
from cstm.models.cstm import CSTM
from cstm.runtime.manifest import MANIFEST
from cstm.runtime.text import SentenceReader
from cstm.training.batches import Batches, DatasetBatches, HeldOut, SpriteBatches, Together
from cstm.training.options import CHECKPOINT, STATE, TrainOptions
from cstm.training.parallel import Place
from cstm.training.trainer import Trainer, write_options

DEFAULT_PRESET = "tiny"
REAL_DETAIL = 1.5  # real videos are decoded so much larger than a part of them is shown
HELD_OUT_SEED = 1000  # unlike the one that `cstm eval` is given
LOADERS = {"resnet50": load_resnet50, "efficientnet": load_efficientnet, "i3d": load_i3d, "bert": load_bert}


@dataclass(frozen=True)
class NetworkChoice:
    """The network to train.

    start: a checkpoint to begin with, which brings its own network; of another preset, named beside it, what the two
    share but for the spatial stream, and `backbones` fill that one. Without: preset, cmam, lgfs (stages that LGFS
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
        backbones = {} if self.preset else self.backbones
        given = {"no-cmam": not self.cmam, "lgfs": self.lgfs is not None, **backbones}
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
        if choice.preset:
            model = _rebuilt(model, CSTMConfig.from_preset(choice.preset), but="encoders.spatial.")
        if choice.streams:
            model = _with_streams(model, choice.streams)
        model.config = dataclasses.replace(model.config, size=options.size or model.config.size)
    else:
        model = CSTM(_config(choice, options))
    for name, file in choice.backbones.items():
        LOADERS[name](model, file)
    return model


def _with_streams(model: CSTM, streams: tuple[str, ...]) -> CSTM:
    """`model` with other encoders."""
    streams = _ordered(streams)
    stages = model.config.lgfs_stages if len(streams) == len(STREAMS) else ()
    return _rebuilt(model, dataclasses.replace(model.config, streams=streams, lgfs_stages=stages))


def _rebuilt(model: CSTM, config: CSTMConfig, but: str | None = None) -> CSTM:
    """A network of `config`: what it shares with `model` has its weights, the rest, and what is called `but`…, fresh
    ones."""
    changed = CSTM(config, model.provenance)
    changed.tokenizer = model.tokenizer
    own = changed.state_dict()
    shared = {n: t for n, t in model.state_dict().items() if n in own and own[n].shape == t.shape}
    changed.load_state_dict({n: t for n, t in shared.items() if not (but and n.startswith(but))}, strict=False)
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
        raise CheckpointError("the preset released reads GloVe; train paper, tiny or small, whose words are learnt")
    learnt = model.trained or "bert" in choice.backbones
    return SentenceReader(model.config, tokenizer_for(model.config, choice.tokenizer, model.tokenizer, learnt))


def sources(options: TrainOptions, config: CSTMConfig, reader: SentenceReader) -> tuple[Batches, Batches]:
    """(training batches of one process's share, held-out batches). QueryError, with its place in the dataset, when a
    sentence cannot be read."""
    share = options.batch // options.processes
    if options.real:
        return _with_real_videos(options, config, reader, share)
    if options.data == SPRITES:
        held_out = SpriteBatches(options.seed + HELD_OUT_SEED, options.batch, config, "test")
        return _sprites(options, config, share), held_out
    train_set, test_set = (open_dataset(options.data, split, config, options.window) for split in ("train", "test"))
    for dataset in (train_set, test_set):
        check_readable(dataset, dataset.references, reader)
    print(train_set.check_official_counts())
    return DatasetBatches(train_set, options.seed, share), HeldOut(test_set, options.batch, options.held_out)


def _sprites(options: TrainOptions, config: CSTMConfig, batch: int) -> SpriteBatches:
    from cstm.data.sprites.cutouts import Cutouts

    cutouts = Cutouts(options.cutouts, "train", options.cutout_share) if options.cutouts else None
    actions, absent = options.actions, options.absent
    return SpriteBatches(options.seed, batch, config, actions=actions, cutouts=cutouts, absent=absent)


def _with_real_videos(
    options: TrainOptions, config: CSTMConfig, reader: SentenceReader, batch: int
) -> tuple[Batches, Batches]:
    """As `sources`, sprites with a share of real videos, validated on the videos that are left out."""
    names = options.leave_out.split(",") if options.leave_out else LEFT_OUT
    size = {"train": round(REAL_DETAIL * config.size), "test": config.size}
    train_set, test_set = (
        RealVideos(options.real, split, size[split], config.frames, config.stride, names) for split in size
    )
    for dataset in (train_set, test_set):
        check_readable(dataset, dataset.references, reader)
    print(train_set.check_official_counts())
    real = round(options.real_share * batch)
    mixed = Together(
        _sprites(options, config, batch - real), DatasetBatches(train_set, options.seed, real, config.size)
    )
    return mixed, HeldOut(test_set, options.batch, options.held_out)
