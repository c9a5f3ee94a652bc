"""The supplement's ablations, trained alike and compared in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cstm.bench.evaluate import evaluate
from cstm.bench.metrics import AUTHORS, summarise
from cstm.bench.predictors import open_predictor
from cstm.console import make_console
from cstm.data.open import open_dataset
from cstm.errors import RequestError
from cstm.files import atomic_path, write_json
from cstm.training.options import CHECKPOINT, STATE, TrainOptions
from cstm.training.parallel import in_processes
from cstm.training.run import NetworkChoice, train


@dataclass(frozen=True)
class Row:
    """One ablation: its name, the network that it trains, and the paper's mean IoU on A2D Sentences."""

    name: str
    choice: NetworkChoice
    paper: float | None


ROWS = (
    Row("LGFS in {}", NetworkChoice(lgfs=()), 55.3),
    Row("LGFS in {5}", NetworkChoice(lgfs=(5,)), 55.8),
    Row("LGFS in {5,4,3}", NetworkChoice(lgfs=(5, 4, 3)), 56.0),
    Row("LGFS in all", NetworkChoice(), 56.1),
    Row("Spa+CMAM", NetworkChoice(streams=("spatial",)), 53.8),
    Row("Temp+CMAM", NetworkChoice(streams=("temporal",)), 52.6),
    Row("Spa+Temp, CMAM off", NetworkChoice(cmam=False, lgfs=()), None),
)
RESULT = "result.json"


def to_markdown(rows: Sequence[Row], figures: dict[str, dict]) -> str:
    """The table: ours, and the paper's on A2D Sentences."""
    lines = ["| | mean IoU | overall IoU | P@0.5 | non-trivial | paper's mean IoU (A2D) |", "|---|---|---|---|---|---|"]
    for row in rows:
        found = figures[row.name]
        values = [found["mean_iou"], found["overall_iou"], found["p@0.5"], found["non_trivial"]["mean_iou"]]
        shown = " | ".join("" if value is None else f"{100 * value:.1f}" for value in values)
        lines.append(f"| {row.name} | {shown} | {row.paper or ''} |")
    return "\n".join(lines) + "\n"


class Ablate:
    """Configured here, run by calling. Resumable, row by row.

    out: folder of the runs and of ablations.md. preset: of the network that every row changes. options: of every row's
    training. limit: samples to evaluate on (None: all). RequestError on a limit below 1, before anything is trained.
    """

    def __init__(self, out: Path, preset: str, options: TrainOptions, limit: int | None = None):
        if limit is not None and limit < 1:
            raise RequestError(f"limit={limit}: must be 1 or more")
        self.out, self.preset, self.options, self.limit = Path(out), preset, options, limit

    def __call__(self, rows: Sequence[Row]) -> str:
        """Train and evaluate the rows that are not done yet; the table, which is also written to ablations.md."""
        text = to_markdown(rows, {row.name: self._figures(row) for row in rows})
        with atomic_path(self.out / "ablations.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
        return text

    def _figures(self, row: Row) -> dict:
        """A row's figures, from its folder or made now."""
        folder = self.out / "".join(c if c.isalnum() else "-" for c in row.name).strip("-")
        asked = {"preset": self.preset, "limit": self.limit, "options": self.options.to_dict()}
        result = folder / RESULT
        if result.is_file():
            kept = json.loads(result.read_text(encoding="utf-8"))
            if kept["asked"] != asked:
                raise RequestError(
                    f"{folder} holds a row made with {kept['asked']}; ask the same, or name another folder"
                )
            return kept["figures"]
        make_console(stderr=True).print(f"[bold]{row.name}")
        choice = replace(row.choice, preset=self.preset)
        resume = (folder / STATE).is_file()
        part = partial(train, choice, self.options, folder, resume, None)
        if in_processes(self.options.processes, part) != 0:
            raise RequestError(f"{row.name}: its training failed; see above")
        figures = self._evaluate(folder / CHECKPOINT)
        write_json(result, {"asked": asked, "figures": figures})
        return figures

    def _evaluate(self, checkpoint: Path) -> dict:
        with open_predictor(checkpoint) as predictor:
            dataset = open_dataset(self.options.data, "test", predictor.config)
            return summarise(evaluate(predictor, dataset, AUTHORS, limit=self.limit), AUTHORS)
