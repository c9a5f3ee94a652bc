"""The command `cstm ablate`, as a user calls it."""

import json

import pytest

from cstm.bench import ablations
from cstm.commands.ablate import ROWS
from cstm.commands.main import main
from cstm.errors import RequestError
from cstm.training.options import TrainOptions


def test_the_ablations_are_kept_row_by_row(tmp_path, monkeypatch, capsys):
    figures = {"mean_iou": 0.5, "overall_iou": 0.6, "p@0.5": 0.55, "non_trivial": {"mean_iou": None}}
    trained = []

    def train(choice, options, folder, resume, until, place):
        trained.append(folder.name)
        folder.mkdir(parents=True)
        return 0

    monkeypatch.setattr(ablations, "train", train)
    monkeypatch.setattr(ablations.Ablate, "_evaluate", lambda *_: figures)
    words = ["ablate", str(tmp_path), "--rows", "LGFS in {5}", "Spa+CMAM"]
    assert main(words) == 0
    assert main(words) == 0
    assert trained == ["LGFS-in--5", "Spa-CMAM"]
    assert "| Spa+CMAM | 50.0 | 60.0 | 55.0 |  | 53.8 |" in (tmp_path / "ablations.md").read_text()
    assert main([*words, "--steps", "7"]) == 2
    assert "ask the same" in capsys.readouterr().err
    assert json.loads((tmp_path / "LGFS-in--5" / "result.json").read_text())["figures"] == figures


def test_a_limit_that_evaluates_nothing_is_refused_before_training(tmp_path, capsys):
    with pytest.raises(RequestError, match="limit=0"):
        ablations.Ablate(tmp_path, "tiny", TrainOptions(), limit=0)
    with pytest.raises(SystemExit):
        main(["ablate", str(tmp_path), "--limit", "0"])
    assert "--limit" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_every_row_of_the_supplement_is_there():
    one = {"mean_iou": 1, "overall_iou": 1, "p@0.5": 1, "non_trivial": {"mean_iou": 1}}
    rows = ablations.ROWS
    assert ablations.to_markdown(rows, {row.name: one for row in rows}).count("\n") == 2 + len(rows)
    assert tuple(row.name for row in rows) == ROWS and len(ROWS) == 7
    assert len({repr(row.choice) for row in rows}) == 7
