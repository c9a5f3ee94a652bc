"""The figures of presence, and the command that prints them."""

import json

import numpy as np
import pytest

from cstm.bench.presence import separation
from cstm.commands.main import main

pytestmark = pytest.mark.filterwarnings("ignore::cstm.runtime.segmenter.UntrainedWarning")


def test_what_separates_and_what_does_not():
    present = np.linspace(1, 2, 100)
    apart = separation(present, np.zeros((100, 2)), threshold=1.5)
    assert (apart["auroc"], apart["false_positives"], apart["recall"]) == (1, 0, 0.5) and apart["auroc_ci"] == [1, 1]
    mixed = separation(present, np.stack([present[::-1], present - 3], axis=1), threshold=-5)
    assert mixed["auroc"] == pytest.approx(0.75) and mixed["false_positives"] == pytest.approx(0.475, abs=0.01)
    assert mixed["auroc_ci"][0] < 0.75 < mixed["auroc_ci"][1] and mixed["false_positives_there"] == 1


def test_the_command(bundle_copy, tmp_path, capsys):
    arguments = [
        "eval",
        str(bundle_copy),
        "--data",
        "sprites",
        "--presence",
        "--limit",
        "6",
        "--backend",
        "onnxruntime",
    ]
    assert main([*arguments, "--json", str(tmp_path / "none.json")]) == 2
    assert "trained weights" in capsys.readouterr().err and not (tmp_path / "none.json").exists()
    record = {"slope": 1, "bias": 0, "threshold": 0, "auroc": 1, "false_positives": 0, "present": 1, "absent": 1}
    manifest = json.loads((bundle_copy / "manifest.json").read_text()) | {"presence": record}
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    assert main([*arguments, "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures["track"]) == set(figures["frame"]) == {"no such class", "no such detail", "all"}
    assert "AUROC" in capsys.readouterr().out and 0 <= figures["frame"]["all"]["auroc"] <= 1
    assert main([*arguments[:2], "--data", str(tmp_path), "--presence"]) == 2
