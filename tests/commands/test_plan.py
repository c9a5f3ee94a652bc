"""`cstm plan`: what it prints, draws, writes and refuses."""

import io
import json
from dataclasses import asdict

import matplotlib.image
import pytest
from rich.console import Console

from cstm.calibration import search as search_module
from cstm.calibration.held_out import Accuracy
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.plan_plot import _front, _groups, draw
from cstm.calibration.plan_table import table
from cstm.calibration.quantiser import MeasureRanges
from cstm.commands.main import main


def trial(label, int8, ms, mean_iou):
    drop = 0.62 - mean_iou
    return {"label": label, "int8": int8, "ms": ms} | asdict(
        Accuracy(mean_iou, drop, drop - 0.01, drop + 0.01, 0.97, 0.8, 9)
    )


TRIALS = [
    trial("fp32", {}, 20.0, 0.62),
    trial("decoder", {"decoder": ["step_1", "head"]}, 15.0, 0.55),
    trial("decoder head", {"decoder": ["head"]}, 16.0, 0.618),
    trial("decoder step_1", {"decoder": ["step_1"]}, 25.0, 0.619),
    trial("1 blocks", {"decoder": ["head"]}, 16.0, 0.618),
]


def test_the_table_has_a_row_for_each_trial_with_its_speed_against_fp32():
    console = Console(width=140, file=io.StringIO())
    console.print(table(TRIALS, TRIALS[4]))
    lines = console.file.getvalue().splitlines()
    (row,) = (line for line in lines if "decoder head" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("decoder head", "61.80", "+0.20", "-0.80 to +1.20", "97.0", "16.0", "1.25")
    ]
    assert sum("97.0" in line for line in lines) == len(TRIALS)
    assert sum("+7.00" in line for line in lines) == 1


def test_each_trial_is_drawn_once_under_what_it_tried():
    more = [trial("2 blocks", {"decoder": ["head"], "spatial_encoder": ["stage_1"]}, 14.0, 0.615)]
    groups = {name: [t["label"] for t in group] for name, group in _groups(TRIALS + more).items()}
    assert groups == {
        "FP32": ["fp32"],
        "one block": ["decoder head", "decoder step_1", "1 blocks"],
        "one component": ["decoder"],
        "search": ["2 blocks"],
    }


def test_the_front_holds_what_nothing_beats():
    assert [t["label"] for t in _front(TRIALS)] == ["decoder", "decoder head", "fp32"]


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:1]])
def test_the_plot_is_a_picture_of_some_size(trials, tmp_path):
    origin = {"backend": "openvino", "budget": 0.005, "trials": trials, "chosen": trials[-1]}
    draw({"int8": {}, "origin": origin}, tmp_path / "plan.png")
    picture = matplotlib.image.imread(tmp_path / "plan.png")
    assert picture.shape[0] > 400 and picture.shape[1] > 800
    assert picture[..., :3].std() > 0.02, "not blank"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.png"]


def refused(capsys, *arguments):
    """What the command says, in its one line."""
    assert main(["plan", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def trained(bundle_copy):
    """A bundle that says that it was trained."""
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["provenance"]["trained"] = True
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    return bundle_copy


def test_random_weights_have_no_plan(bundle_path, capsys):
    assert "random weights have no accuracy to plan for; build INT8 without a plan" in refused(capsys, bundle_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "torch"], "no plans for torch; choose from openvino"),
        (["--samples", "4"], "fewer than 32"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_measured(arguments, said, trained, capsys, monkeypatch):
    monkeypatch.setattr(MeasureRanges, "__call__", lambda *_: pytest.fail("measured"))
    assert said in refused(capsys, trained, *arguments)


def test_a_backend_that_is_not_here_is_refused_before_anything_is_measured(trained, capsys, monkeypatch):
    monkeypatch.setattr(MeasureRanges, "__call__", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr("cstm.runtime.backends.installed_version", lambda name: None)
    assert "not installed" in refused(capsys, trained, "--backend", "openvino")


def test_a_search_from_end_to_end(trained, fp32_models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(search_module, "quantisable", lambda models: {"decoder": ["step_1", "head"]})
    plan, plot = tmp_path / "out/plan.json", tmp_path / "out/plan.png"
    arguments = ["--backend", "onnxruntime", "--samples", "2", "--force-few", "--clips", "2", "--max-miou-drop", "1"]
    assert main(["plan", str(trained), *arguments, "--output", str(plan), "--plot", str(plot)]) == 0
    found = PrecisionPlan.read(plan)
    found.check(fp32_models)
    labels = [one["label"] for one in found.origin["trials"]]
    assert labels[:4] == ["fp32", "decoder", "decoder step_1", "decoder head"]
    assert found.origin["chosen"]["drop"] <= 1 and found.origin["samples"] == 2
    assert all(one["ms"] > 0 for one in found.origin["trials"])
    assert sorted(path.name for path in plan.parent.iterdir()) == ["plan.json", "plan.png"]
    assert str(plan) in capsys.readouterr().out
