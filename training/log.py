"""What a run writes down: metrics.csv, TensorBoard's files, and the line a person reads."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from cstm.training.options import METRICS

COLUMNS = ("step", "seconds", "rate", "loss", "train_iou", "held_out_iou")


class Log:
    """The log of a run in `out` of which `done` updates are done: goes on with it. A context manager."""

    def __init__(self, out: Path, done: int):
        from torch.utils.tensorboard import SummaryWriter

        self.path, self.begun = out / METRICS, time.monotonic()
        rows = _rows_until(self.path, done)
        self.before = float(rows[-1][1]) if rows else 0.0
        self.file = self.path.open("w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerows([COLUMNS, *rows])
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=done + 1)
        self.loss = self.iou = 0.0
        self.count, self.step, self.held_out = 0, done, float("nan")

    def took(self, loss: float, iou: float) -> None:
        """Note an update's loss and mean IoU."""
        self.step, self.count = self.step + 1, self.count + 1
        self.loss += loss
        self.iou += iou

    def text(self) -> str:
        """Where training stands."""
        count = max(self.count, 1)
        shown = f"step {self.step}  loss {self.loss / count:.3f}  IoU {self.iou / count:.3f}"
        return f"{shown}  held out {self.held_out:.3f}"

    def write(self, step: int, rate: float, held_out: float) -> str:
        """A row of means since the last one; the same as a line of text."""
        self.held_out = held_out
        text = self.text()
        seconds = self.before + time.monotonic() - self.begun
        count = max(self.count, 1)
        values = (self.loss / count, self.iou / count, held_out)
        self.rows.writerow([step, f"{seconds:.1f}", f"{rate:.3e}", *(f"{v:.4f}" for v in values)])
        self.file.flush()
        for name, value in zip(COLUMNS[3:], values, strict=True):
            self.board.add_scalar(name, value, step)
        self.loss = self.iou = 0.0
        self.count = 0
        return text

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.board.close()


def _rows_until(path: Path, done: int) -> list[list[str]]:
    """What an earlier part of the run wrote, up to the update it resumes from."""
    if not done or not path.is_file():
        return []
    with path.open(newline="") as file:
        return [row for row in list(csv.reader(file))[1:] if int(row[0]) <= done]
