"""`cstm train`: a network, a dataset and options -> a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from dataclasses import fields
from pathlib import Path

from cstm.data.open import SPRITES, open_dataset
from cstm.data.vocabulary import tokenizer_for
from cstm.data.window import AUTHORS, CENTRED
from cstm.errors import CheckpointError, RequestError
from cstm.models.config import PRESETS, STAGES, STREAMS, CSTMConfig
from cstm.runtime.text import SentenceReader
from cstm.training.options import CHECKPOINT, PRECISIONS, SCHEDULES, STATE, TrainOptions

DEFAULT_PRESET = "tiny"
BACKBONES = ("resnet50", "i3d", "bert")
CHANGES = ("preset", "no_cmam", "lgfs", *BACKBONES)  # of the network, which --from brings
HELD_OUT_SEED = 1000  # unlike the one that `cstm eval` is given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of training: the network, then TrainOptions' fields."""
    parser.add_argument("out", type=Path, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, help=f"the network (default: {DEFAULT_PRESET})")
    parser.add_argument("--from", dest="start", type=Path, metavar="F", help="begin with this checkpoint's weights")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument("--until", type=int, metavar="N", help="stop after update N; --resume goes on")
    parser.add_argument(
        "--streams",
        nargs="+",
        choices=STREAMS,
        help="encoders in use; --from keeps what is shared",
    )
    parser.add_argument("--no-cmam", action="store_true", help="without the words' modulation")
    parser.add_argument("--lgfs", nargs="*", type=int, choices=STAGES, metavar="STAGE", help="stages that LGFS weighs")
    parser.add_argument("--resnet50", type=Path, metavar="F", help="torchvision's ResNet-50 to begin with")
    parser.add_argument("--i3d", type=Path, metavar="F", help="Kinetics I3D, RGB, to begin with")
    parser.add_argument("--bert", type=Path, metavar="DIR", help="a BERT folder in transformers' format to begin with")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="F", help="a tokenizer.json (default: the weights' own, or A2D's words)"
    )
    defaults = TrainOptions()
    choices = {"schedule": SCHEDULES, "precision": PRECISIONS, "window": (CENTRED, AUTHORS)}
    for field in fields(TrainOptions):
        kind = int if field.name == "size" else type(getattr(defaults, field.name))
        default = getattr(defaults, field.name)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=kind,
            default=default,
            choices=choices.get(field.name),
            help="default: the preset's" if default is None else f"default: {default}",
        )


def run(arguments: argparse.Namespace) -> int:
    """Train as the command line says."""
    # Before PyTorch is loaded: idle OpenMP threads that spin take the core that makes the samples.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cstm.training.parallel import in_processes

    options = TrainOptions(**{field.name: getattr(arguments, field.name) for field in fields(TrainOptions)})
    if arguments.until is not None and arguments.until < 1:
        raise RequestError(f"--until {arguments.until}: must be 1 or more")
    if not arguments.resume and (arguments.out / STATE).exists():
        raise RequestError(f"{arguments.out} holds a run; go on with it with --resume, or name another folder")
    code = in_processes(options.processes, functools.partial(_train, arguments, options))
    if code == 0:
        print(arguments.out / CHECKPOINT)
    return code


def _train(arguments: argparse.Namespace, options: TrainOptions, place) -> int:
    """One process's part."""
    import torch

    from cstm.training.trainer import Trainer, write_options

    torch.manual_seed(options.seed)
    model = network(arguments, options)
    options = dataclasses.replace(options, size=model.config.size)
    reader = sentence_reader(arguments, model)
    batches, held_out = sources(options, model.config, reader)
    provenance = {"from": str(arguments.start or "nothing")}
    trainer = Trainer(model, batches, held_out, reader, options, arguments.out, provenance, place)
    if arguments.resume:
        trainer.resume()
    elif place.leads:
        write_options(arguments.out, options, model.config)
    trainer(until=arguments.until)
    return 0


def network(arguments: argparse.Namespace, options: TrainOptions):
    """The network to train, with fresh weights or those of a checkpoint or of backbones that the user names."""
    from cstm.models import checkpoint
    from cstm.models.cstm import CSTM

    if arguments.start:
        given = [name for name in CHANGES if getattr(arguments, name) not in (None, False)]
        if given:
            raise RequestError(f"--from brings its own network; leave out {', '.join('--' + n for n in given)}")
        model = checkpoint.load_checkpoint(arguments.start)
        if arguments.streams:
            model = _with_streams(model, arguments.streams)
        model.config = dataclasses.replace(model.config, size=options.size or model.config.size)
        return model
    model = CSTM(_config(arguments, options))
    for name in BACKBONES:
        if file := getattr(arguments, name):
            getattr(checkpoint, f"load_{name}")(model, file)
    return model


def _with_streams(model, streams: list[str]):
    """`model` with other encoders: what the two networks share keeps its weights, the rest is fresh."""
    from cstm.models.cstm import CSTM

    streams = tuple(s for s in STREAMS if s in streams)
    stages = model.config.lgfs_stages if len(streams) == len(STREAMS) else ()
    changed = CSTM(dataclasses.replace(model.config, streams=streams, lgfs_stages=stages), model.provenance)
    changed.tokenizer = model.tokenizer
    own = changed.state_dict()
    shared = {n: t for n, t in model.state_dict().items() if n in own and own[n].shape == t.shape}
    changed.load_state_dict(shared, strict=False)
    return changed


def _config(arguments: argparse.Namespace, options: TrainOptions) -> CSTMConfig:
    changes: dict = {"size": options.size} if options.size else {}
    if arguments.streams:
        changes["streams"] = tuple(s for s in STREAMS if s in arguments.streams)
    if arguments.no_cmam:
        changes["cmam"] = False
    if arguments.lgfs is not None or len(changes.get("streams", STREAMS)) == 1:
        changes["lgfs_stages"] = tuple(sorted(arguments.lgfs or ()))
    try:
        return CSTMConfig.from_preset(arguments.preset or DEFAULT_PRESET, **changes)
    except ValueError as error:
        raise RequestError(str(error)) from error


def sentence_reader(arguments: argparse.Namespace, model) -> SentenceReader:
    """The reader of the run's sentences: with the tokenizer that the user names, or the one that the weights were
    learnt with, or, for fresh weights, the built-in one. CheckpointError when it does not fit."""
    if model.config.text == "gru":
        raise CheckpointError("the preset released reads GloVe; train paper or tiny, whose words are learnt")
    trained = model.trained or bool(arguments.bert)
    tokenizer = tokenizer_for(model.config, arguments.tokenizer, model.tokenizer, trained)
    return SentenceReader(model.config, tokenizer)


def sources(options: TrainOptions, config: CSTMConfig, reader: SentenceReader):
    """(training batches of one process's share, held-out batches). QueryError when a sentence cannot be read."""
    from cstm.training.batches import DatasetBatches, HeldOut, SpriteBatches

    share = options.batch // options.processes
    if options.data == SPRITES:
        held_out = SpriteBatches(options.seed + HELD_OUT_SEED, options.batch, config.size, config.frames, "test")
        return SpriteBatches(options.seed, share, config.size, config.frames, actions=options.actions), held_out
    train, test = (open_dataset(options.data, split, config, options.window) for split in ("train", "test"))
    for sentence in {reference.sentence for dataset in (train, test) for reference in dataset.references}:
        reader(sentence)
    print(train.check_official_counts())
    return DatasetBatches(train, options.seed, share), HeldOut(test, options.batch, options.held_out)
