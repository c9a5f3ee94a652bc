"""`cstm train`: a network, a dataset and options -> a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import os
from dataclasses import fields
from pathlib import Path

from cstm.errors import CheckpointError, RequestError
from cstm.models.config import PRESETS, STAGES, STREAMS, CSTMConfig
from cstm.training.options import SCHEDULES, TrainOptions


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
    import torch

    from cstm.training.trainer import Trainer, write_options

    options = TrainOptions(**{field.name: getattr(arguments, field.name) for field in fields(TrainOptions)})
    if not arguments.resume and (arguments.out / "state.pt").exists():
        raise RequestError(f"{arguments.out} holds a run; go on with it with --resume, or name another folder")
    torch.manual_seed(options.seed)
    model = network(arguments, options)
    options = dataclasses.replace(options, size=model.config.size)
    batches, held_out, reader = sources(options, model.config, arguments.out)
    trainer = Trainer(model, batches, held_out, reader, options, arguments.out)
    if arguments.resume:
        trainer.resume()
    else:
        write_options(arguments.out, options, model.config)
    print(trainer(until=arguments.until))
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


def sources(options: TrainOptions, config: CSTMConfig, out: Path):
    """(training batches, held-out batches, the reader of their sentences)."""
    from cstm.data.vocabulary import wordpiece_tokenizer
    from cstm.runtime.text import SentenceReader
    from cstm.training.batches import DatasetBatches, SpriteBatches

    if config.text == "gru":
        raise CheckpointError("the preset released reads GloVe; train paper or tiny, whose words are learnt")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = out / "tokenizer.json"
    wordpiece_tokenizer().save(str(tokenizer))
    reader = SentenceReader(config, tokenizer)
    if options.data == "sprites":
        held_out = SpriteBatches(options.seed + 1000, options.batch, config.size, config.frames, "test")
        return SpriteBatches(options.seed, options.batch, config.size, config.frames), held_out, reader
    from cstm.data.open import open_dataset

    train, test = (open_dataset(options.data, split, config) for split in ("train", "test"))
    return DatasetBatches(train, options.seed, options.batch), DatasetBatches(test, 0, options.batch), reader
