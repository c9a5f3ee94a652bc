"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from cstm.errors import CSTMError, RequestError
from cstm.files import write_json
from cstm.models.checkpoint import save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.cstm import CSTM
from cstm.models.text import text_argument
from cstm.progress import progress
from cstm.runtime.overlap import mask_iou
from cstm.runtime.text import SentenceReader
from cstm.training.batches import Batch, Batches, Tensors, loader
from cstm.training.curve import draw_curve
from cstm.training.fold import fold_keys
from cstm.training.log import Log
from cstm.training.loss import mask_loss
from cstm.training.options import CHECKPOINT, METRICS, STATE, TrainOptions
from cstm.training.parallel import ALONE, Place
from cstm.training.precision import autocast, channels_last, keep_float32
from cstm.training.state import Average, load_state, restore, save_state

BAD_STEPS = 20
BACKBONE = "encoders.spatial.stages"
REPORT = 20  # updates between two looks at the loss


Text = torch.Tensor | Sequence[torch.Tensor]  # as `text_argument` gives it


class DivergedError(CSTMError):
    """Training whose loss or gradients stopped being finite."""


class Trainer:
    """Trains `model` on `batches` and writes OUT: checkpoint.safetensors (the running mean of the weights),
    state.pt (to resume from), metrics.csv and TensorBoard's files.

    batches, held_out: objects whose item n is batch n, a list of Samples. reader: reads their sentences.
    provenance: what the checkpoint shall say of itself besides the options.
    """

    def __init__(
        self,
        model: CSTM,
        batches: Batches,
        held_out: Batches,
        reader: SentenceReader,
        options: TrainOptions,
        out: Path,
        provenance: dict | None = None,
        place: Place = ALONE,
    ):
        self.options, self.out, self.provenance, self.place = options, Path(out), provenance or {}, place
        self.where = place.device()
        self.device = self.where.split(":")[0]
        if options.precision == "fp16" and self.device == "cpu":
            raise RequestError("--precision fp16 trains on a GPU only; on the CPU choose bf16 or fp32")
        model.tokenizer = reader.tokenizer.to_str()
        self.model = channels_last(model.to(self.where)).train()
        for part in filter(None, options.freeze.split(",")):
            freeze(self.model, part)
        self.average = Average(self.model, options.ema)
        keep_float32(self.model, self.device)
        fold_keys(self.model)
        self.optimizer = torch.optim.AdamW(_groups(self.model, options), weight_decay=options.decay, fused=True)
        self.scaler = torch.amp.GradScaler(self.device, enabled=options.precision == "fp16")
        self.batches, self.held_out, self.tensors = batches, held_out, Tensors(reader)
        self.done = self.bad = 0

    def resume(self) -> None:
        """Go on from OUT's state. RequestError when it was made with other options."""
        state = load_state(self.out / STATE)
        changed = [k for k, v in self.options.to_dict().items() if state["options"].get(k, v) != v]
        changed = [k for k in changed if k not in ("threads", "workers", "check")]
        if changed:
            raise RequestError(f"{self.out}: was started with another {', '.join(changed)}; resume with the same")
        if (state["config"], state["tokenizer"]) != (self.model.config.to_dict(), self.model.tokenizer):
            raise RequestError(
                f"{self.out}: was started with another network or tokenizer; resume with the same command"
            )
        self.done = restore(state, self.model, self.average, self.optimizer, self.scaler)

    def __call__(self, console: Console | None = None, until: int | None = None) -> Path:
        """Train to the end (or to update `until`); the checkpoint's path. DivergedError when it stops learning."""
        torch.set_num_threads(self.options.threads)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.backends.cudnn.benchmark = True  # every batch has the same shapes
        last = self.options.steps if until is None else min(until, self.options.steps)
        numbers = range(self.done * self.place.count + self.place.number, last * self.place.count, self.place.count)
        made = loader(self.batches, self.tensors, numbers, self.options.workers)
        if not self.place.leads:
            for batch in _good(made):
                self._update(batch)
                self.done += 1
            return self.out / CHECKPOINT
        with (
            Log(self.out, self.done) as log,
            progress("training", self.options.steps, self.done, console) as bar,
        ):
            for batch in _good(made):
                loss, iou = self._update(batch)
                self.done += 1
                log.took(loss, iou)
                if self.done % REPORT == 0 or self.done == last:
                    bar.to(self.done, log.text())
                if self.done % self.options.check == 0 or self.done == last:
                    bar.print(log.write(self.done, self.options.rate_at(self.done - 1), self.validate()))
                    self.save()
        draw_curve(self.out / METRICS, self.out / "curve.png")
        return self.out / CHECKPOINT

    def validate(self) -> float:
        """Mean IoU (probability above 0.5) of the running mean on the held-out clips."""
        total = count = 0
        for number in range(math.ceil(self.options.held_out / self.options.batch)):
            samples = self.held_out[number]
            if not samples:
                break
            clips, text, masks = self._moved(self.tensors(samples))
            with torch.inference_mode(), autocast(self.options.precision, self.device):
                response = self.average.model(clips, text)[-1]
            total += mask_iou(response > 0, masks).sum().item()
            count += len(masks)
        return total / count

    def save(self) -> None:
        """The checkpoint and the state, each atomically."""
        done = {"kind": "trained", "updates": self.done}
        self.average.model.provenance = done | self.provenance | self.options.to_dict()
        save_checkpoint(self.average.model, self.out / CHECKPOINT)
        parts = (self.model, self.average, self.optimizer, self.scaler)
        save_state(self.out / STATE, self.done, self.options.to_dict(), *parts)

    def _update(self, batch: Batch) -> tuple[float, float]:
        """One update; the loss and this process's mean IoU before it."""
        # Dropout's draws, the same when resumed.
        torch.manual_seed(
            int(np.random.SeedSequence([self.options.seed, self.done, self.place.number]).generate_state(1)[0])
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self.options.rate_at(self.done)
        clips, text, masks = self._moved(batch)
        with autocast(self.options.precision, self.device):
            responses = self.model(clips, text)
        loss = mask_loss(responses, masks)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        loss = self.place.mean_gradients(self.model.parameters(), loss)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        self._check(loss, norm)
        if norm.isfinite() or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.model, self.done)
        return loss.item(), mask_iou(responses[-1].detach() > 0, masks).mean().item()

    def _check(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """A step whose gradient is not finite is left out; a loss that is not, or many such steps, end the run."""
        self.bad = 0 if norm.isfinite() else self.bad + 1
        if not loss.isfinite() or self.bad >= BAD_STEPS:
            what = "loss" if not loss.isfinite() else f"gradient of {BAD_STEPS} updates in a row"
            raise DivergedError(
                f"update {self.done}: the {what} is not finite; the last checkpoint is in {self.out}:"
                " lower --rate, or use --precision fp32"
            )

    def _moved(self, batch: Batch) -> tuple[torch.Tensor, Text, torch.Tensor]:
        """The batch on the device, as the network takes it: pixels float32 in [0,1]."""
        clips, text, masks = batch
        pixels = clips.to(self.where, non_blocking=True).float().div_(255)
        return pixels, text_argument([part.to(self.where) for part in text]), masks.to(self.where)


def _good(made: Iterable[Batch | CSTMError]) -> Iterator[Batch]:
    """The batches of a loader; raises what one of them met."""
    for batch in made:
        if isinstance(batch, CSTMError):
            raise batch
        yield batch


def _groups(model: CSTM, options: TrainOptions) -> list[dict]:
    """The optimizer's groups of parameters, each with its share of the learning rate."""
    shares = {"text.": options.text_rate, BACKBONE: options.backbone_rate}
    groups: dict[float, list[torch.nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        share = next((share for prefix, share in shares.items() if name.startswith(prefix)), 1.0)
        groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]


def freeze(model: CSTM, name: str) -> None:
    """Keep the weights and statistics of the module `name` as they are. RequestError when there is none such."""
    try:
        part = model.get_submodule(name)
    except AttributeError as error:
        raise RequestError(f"--freeze {name}: the network has no such part; name one such as {BACKBONE}") from error
    part.requires_grad_(False)
    part.eval()


def write_options(out: Path, options: TrainOptions, config: CSTMConfig) -> None:
    """options.json: what the run was told, for whoever finds the folder."""
    write_json(out / "options.json", {"options": options.to_dict(), "config": config.to_dict()})
