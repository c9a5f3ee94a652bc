"""`cstm train`: a network, a dataset and options -> a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from dataclasses import fields
from pathlib import Path

from cstm.data.open import SPRITES, open_dataset
from cstm.data.vocabulary import WORDPIECE, read_tokenizer, wordpiece_tokenizer
from cstm.errors import CheckpointError, RequestError
from cstm.files import atomic_path
from cstm.models.config import PRESETS, STAGES, STREAMS, CSTMConfig
from cstm.runtime.text import SentenceReader
from cstm.training.options import SCHEDULES, TrainOptions

HELD_OUT_SEED = 1000  # unlike the one that `cstm eval` is given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of training: the network, then TrainOptions' fields."""
    parser.add_argument("out", type=Path, help="folder of the run")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="the network (default: tiny)")
    parser.add_argument("--from", dest="start", type=Path, metavar="F", help="begin with this checkpoint's weights")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument("--until", type=int, metavar="N", help="stop after update N; --resume goes on")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, help="encoders in use (default: both)")
    parser.add_argument("--no-cmam", action="store_true", help="without the words' modulation")
    parser.add_argument("--lgfs", nargs="*", type=int, choices=STAGES, metavar="STAGE", help="stages that LGFS weighs")
    for name in ("resnet50", "i3d", "bert"):
        parser.add_argument(f"--{name}", type=Path, metavar="F", help=f"{name} weights to begin with")
    parser.add_argument("--tokenizer", type=Path, metavar="F", help="a tokenizer.json (default: words of A2D, J-HMDB)")
    defaults = TrainOptions()
    choices = {"schedule": SCHEDULES, "precision": ("fp32", "bf16", "fp16")}
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
    if not arguments.resume and (arguments.out / "state.pt").exists():
        raise RequestError(f"{arguments.out} holds a run; go on with it with --resume, or name another folder")
    code = in_processes(options.processes, functools.partial(_train, arguments, options))
    if code == 0:
        print(arguments.out / "checkpoint.safetensors")
    return code


def _train(arguments: argparse.Namespace, options: TrainOptions, place) -> int:
    """One process's part."""
    import torch

    from cstm.training.trainer import Trainer, write_options

    torch.manual_seed(options.seed)
    model = network(arguments, options)
    options = dataclasses.replace(options, size=model.config.size)
    reader = sentence_reader(model.config, arguments.out, arguments.tokenizer)
    batches, held_out = sources(options, model.config)
    provenance = {"tokenizer": "own" if arguments.tokenizer else WORDPIECE, "from": str(arguments.start or "nothing")}
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
        model = checkpoint.load_checkpoint(arguments.start)
        model.config = dataclasses.replace(model.config, size=options.size or model.config.size)
        return model
    changes: dict = {"size": options.size} if options.size else {}
    if arguments.streams:
        changes["streams"] = tuple(s for s in STREAMS if s in arguments.streams)
    if arguments.no_cmam:
        changes["cmam"] = False
    if arguments.lgfs is not None or len(changes.get("streams", STREAMS)) == 1:
        changes["lgfs_stages"] = tuple(sorted(arguments.lgfs or ()))
    model = CSTM(CSTMConfig.from_preset(arguments.preset, **changes))
    for name in ("resnet50", "i3d", "bert"):
        if file := getattr(arguments, name):
            getattr(checkpoint, f"load_{name}")(model, file)
    return model


def sentence_reader(config: CSTMConfig, out: Path, tokenizer: Path | None) -> SentenceReader:
    """The reader of the run's sentences; its tokenizer is kept in OUT. CheckpointError when it does not fit."""
    if config.text == "gru":
        raise CheckpointError("the preset released reads GloVe; train paper or tiny, whose words are learnt")
    kept = out / "tokenizer.json"
    read = read_tokenizer(tokenizer) if tokenizer else wordpiece_tokenizer()
    if read.get_vocab_size() > config.vocabulary:
        raise CheckpointError(
            f"the tokenizer has {read.get_vocab_size()} tokens, the network {config.vocabulary}; name a smaller one"
        )
    with atomic_path(kept) as temporary:
        read.save(str(temporary))
    return SentenceReader(config, kept)


def sources(options: TrainOptions, config: CSTMConfig):
    """(training batches of one process's share, held-out batches)."""
    from cstm.training.batches import DatasetBatches, SpriteBatches

    share = options.batch // options.processes
    if options.data == SPRITES:
        held_out = SpriteBatches(options.seed + HELD_OUT_SEED, options.batch, config.size, config.frames, "test")
        return SpriteBatches(options.seed, share, config.size, config.frames), held_out
    train, test = (open_dataset(options.data, split, config) for split in ("train", "test"))
    return DatasetBatches(train, options.seed, share), DatasetBatches(test, 0, options.batch)
