"""What a training run is told."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, fields

from cstm.errors import RequestError

SCHEDULES = ("poly", "step", "cosine")
PRECISIONS = ("fp32", "bf16", "fp16")
WINDOWS = ("centred", "authors")  # as in data.window
STATE, CHECKPOINT, METRICS = "state.pt", "checkpoint.safetensors", "metrics.csv"  # in the run's folder


HELP = {
    "data": "sprites, or a folder that holds A2D or J-HMDB Sentences",
    "steps": "updates in all",
    "batch": "samples an update",
    "size": "side of the training frames in pixels",
    "rate": "the highest learning rate",
    "warmup": "updates until it is reached",
    "schedule": "how it falls",
    "text_rate": "the text encoder's share of the rate",
    "backbone_rate": "the spatial backbone's share of the rate",
    "freeze": "parts of the network, such as encoders.spatial.stages,text, that stay as they are",
    "decay": "weight decay",
    "clip": "largest norm of the gradient",
    "ema": "share of the old weights in the running mean that is validated and saved, 0 for none",
    "precision": "what the network computes in; fp16 on a GPU only",
    "processes": "that train together, each on a GPU or with THREADS threads",
    "threads": "of each process on the CPU",
    "workers": "processes that make samples, for each process",
    "check": "updates between validations and checkpoints",
    "held_out": "samples to validate on",
    "window": "where clips from disk lie around their target",
    "actions": "share of the sprite clips drawn to differ in the action alone",
    "cutouts": "a folder of photographic cut-outs that act beside the emoji",
    "cutout_share": "share of the sprite clips' actors that are cut-outs",
    "real": "a folder of real videos with masks, seen besides the data",
    "real_share": "share of the samples that are of real videos",
    "leave_out": "real videos, by name and comma, to validate on instead of those of data.real",
    "absent": "share of the samples whose sentence is of nobody in the clip",
    "seed": "of weights, samples and dropout",
}


@dataclass(frozen=True)
class TrainOptions:
    """Options of a run; the same options and seed give the same weights on the same machine.

    data: "sprites", or a folder that holds A2D or J-HMDB Sentences. steps: updates in all. batch: samples an update.
    size: side of the training frames in pixels (None: the preset's). rate: the highest learning rate, reached after
    `warmup` updates; schedule: how it falls, of SCHEDULES. text_rate: the text encoder's share of the rate (at the full
    rate a new transformer forgets the sentence before the rest can use it); backbone_rate: the spatial backbone's.
    freeze: parts of the network, by module and comma, that stay as they are, statistics included. decay: weight decay.
    clip: largest norm of the gradient. ema: share of the old weights in the running mean that is validated and saved, 0
    for none.
    precision: "fp32", "bf16" or "fp16" (GPU only). processes: that train together, each on a GPU or, on
    the CPU, with `threads` threads; workers: processes that make samples for each of them.
    check: updates between validations and checkpoints. held_out: samples to validate on. window: of clips from
    disk, see `data.window`. actions: share of the sprite clips drawn to differ in the action alone, see `batches`.
    cutouts: a folder of photographic cut-outs, see `data.sprites.cutouts`; cutout_share: of the sprite clips' actors.
    real: a folder of real videos, see `data.real`; real_share: of the samples; leave_out: those to validate on.
    absent: share of the samples whose sentence is of nobody in the clip, so that the mask is empty.
    """

    data: str = "sprites"
    steps: int = 12000
    batch: int = 16
    size: int | None = None
    rate: float = 1.5e-3
    warmup: int = 300
    schedule: str = "cosine"
    text_rate: float = 0.15
    backbone_rate: float = 1.0
    freeze: str = ""
    decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "bf16"
    processes: int = 1
    threads: int = 2
    workers: int = 1
    check: int = 500
    held_out: int = 64
    window: str = "centred"
    actions: float = 0.3
    cutouts: str = ""
    cutout_share: float = 0.6
    real: str = ""
    real_share: float = 0.3
    leave_out: str = ""
    absent: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = [f.name for f in fields(self) if not _is_number(getattr(self, f.name), f.default)]
        if numbers:
            raise RequestError(f"training options: {', '.join(numbers)} must be finite numbers, whole where they count")
        rules = {
            "batch must be a multiple of processes": self.processes > 0 and self.batch % self.processes == 0,
            f"schedule must be one of {', '.join(SCHEDULES)}": self.schedule in SCHEDULES,
            "precision must be fp32, bf16 or fp16": self.precision in PRECISIONS,
            "steps, batch, check, held_out and threads must be positive": min(
                self.steps, self.batch, self.check, self.held_out, self.threads
            )
            > 0,
            "size must be a positive multiple of 32": self.size is None or (self.size > 0 and self.size % 32 == 0),
            "rate, text_rate, backbone_rate and clip must be positive": min(
                self.rate, self.text_rate, self.backbone_rate, self.clip
            )
            > 0,
            "warmup, workers, seed and decay must not be negative": min(
                self.warmup, self.workers, self.seed, self.decay
            )
            >= 0,
            "seed must be below 2^63": self.seed < 1 << 63,
            "ema must be at least 0 and below 1": 0 <= self.ema < 1,
            **{
                f"{share} must be between 0 and 1": 0 <= getattr(self, share) <= 1
                for share in ("actions", "cutout_share", "real_share", "absent")
            },
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise RequestError(f"training options: {'; '.join(broken)}")

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        return dataclasses.asdict(self)

    def rate_at(self, step: int) -> float:
        """The learning rate of update `step`, from 0."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.rate * rise * _fall(self.schedule, step / self.steps)


def _is_number(value: object, default: object) -> bool:
    """Whether `value` is a number such as `default` is, not NaN or infinite; anything where the default is none."""
    if value is None or isinstance(default, str):
        return value is default or isinstance(default, str)
    kinds = (int, float) if isinstance(default, float) else (int,)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _fall(schedule: str, done: float) -> float:
    """Share of the highest rate when `done` of the updates are done."""
    if schedule == "poly":
        return (1 - done) ** 0.9
    if schedule == "step":
        return 0.1 ** ((done >= 0.6) + (done >= 0.85))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
