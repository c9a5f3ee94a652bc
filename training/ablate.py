"""`cstm ablate`: the supplement's ablations, trained alike and compared in one table. Resumable, row by row."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import atomic_path, write_json
from cstm.models.config import PRESETS
from cstm.training.options import CHECKPOINT, STATE


@dataclass(frozen=True)
class Row:
    """One ablation: its name, the words of `cstm train` that make it, and the paper's mean IoU on A2D Sentences."""

    name: str
    arguments: tuple[str, ...]
    paper: float | None


ROWS = (
    Row("LGFS in {}", ("--lgfs",), 55.3),
    Row("LGFS in {5}", ("--lgfs", "5"), 55.8),
    Row("LGFS in {5,4,3}", ("--lgfs", "5", "4", "3"), 56.0),
    Row("LGFS in all", (), 56.1),
    Row("Spa+CMAM", ("--streams", "spatial"), 53.8),
    Row("Temp+CMAM", ("--streams", "temporal"), 52.6),
    Row("Spa+Temp, CMAM off", ("--no-cmam", "--lgfs"), None),
)
RESULT = "result.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of the ablations."""
    parser.add_argument("out", type=Path, help="folder of the runs and of ablations.md")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], metavar="NAME", help="only these")
    parser.add_argument("--data", default="sprites", help="sprites, or the folder of a dataset (default: sprites)")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="default: tiny")
    parser.add_argument("--size", type=int, default=64, help="side of the frames (default: 64)")
    parser.add_argument("--steps", type=int, default=3000, help="updates of each row (default: 3000)")
    parser.add_argument("--limit", type=int, metavar="N", help="evaluate on the first N samples")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--train", nargs=argparse.REMAINDER, default=[], help="further words for cstm train, last of all"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train and evaluate the rows that are not done yet, then write the table."""
    chosen = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    figures = {row.name: _figures(row, arguments) for row in chosen}
    text = to_markdown(chosen, figures)
    with atomic_path(arguments.out / "ablations.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 0


def to_markdown(rows: list[Row], figures: dict[str, dict]) -> str:
    """The table: ours, and the paper's on A2D Sentences."""
    lines = ["| | mean IoU | overall IoU | P@0.5 | non-trivial | paper's mean IoU (A2D) |", "|---|---|---|---|---|---|"]
    for row in rows:
        found = figures[row.name]
        values = [found["mean_iou"], found["overall_iou"], found["p@0.5"], found["non_trivial"]["mean_iou"]]
        shown = " | ".join("" if value is None else f"{100 * value:.1f}" for value in values)
        lines.append(f"| {row.name} | {shown} | {row.paper or ''} |")
    return "\n".join(lines) + "\n"


def _figures(row: Row, arguments: argparse.Namespace) -> dict:
    """A row's figures, from its folder or made now."""
    folder = arguments.out / "".join(c if c.isalnum() else "-" for c in row.name).strip("-")
    asked = {name: getattr(arguments, name) for name in ("data", "preset", "size", "steps", "limit", "seed", "train")}
    result = folder / RESULT
    if result.is_file():
        kept = json.loads(result.read_text(encoding="utf-8"))
        if kept["asked"] != asked:
            raise RequestError(f"{folder} holds a row made with {kept['asked']}; ask the same, or name another folder")
        return kept["figures"]
    make_console(stderr=True).print(f"[bold]{row.name}")
    figures = _evaluate(_train(row, folder, arguments), arguments)
    write_json(result, {"asked": asked, "figures": figures})
    return figures


def _train(row: Row, folder: Path, arguments: argparse.Namespace) -> Path:
    from cstm.training import train

    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    words = [str(folder), "--preset", arguments.preset, "--data", arguments.data, *row.arguments]
    for name in ("size", "steps", "seed"):
        words += [f"--{name}", str(getattr(arguments, name))]
    words += arguments.train
    if (folder / STATE).is_file():
        words.append("--resume")
    train.run(parser.parse_args(words))
    return folder / CHECKPOINT


def _evaluate(checkpoint: Path, arguments: argparse.Namespace) -> dict:
    from cstm.bench.evaluate import evaluate, open_predictor
    from cstm.bench.metrics import AUTHORS, summarise
    from cstm.data.open import open_dataset

    with open_predictor(checkpoint) as predictor:
        dataset = open_dataset(arguments.data, "test", predictor.config)
        return summarise(evaluate(predictor, dataset, AUTHORS, limit=arguments.limit), AUTHORS)
