import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cstm.bench import latency as bench
from cstm.bench.latency_table import table
from cstm.bench.memory import peak_memory
from cstm.bench.parity import lowest_iou
from cstm.console import make_console
from cstm.errors import EngineError
from cstm.runtime.bundle import Bundle

SCRIPT = Path(__file__).parents[2] / "bench/latency.py"


def test_rows_for_every_part(bundle_path):
    bundle = Bundle(bundle_path)
    rows = bench.latency(bundle, bench.with_eager(bundle, ["onnxruntime"], ["fp32", "fp16"]), repeats=3)
    found = {(row.backend, row.precision, row.part): row for row in rows}
    for pair in (("torch", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "fp16")):
        for part in ("text_encoder", "spatial_encoder", "temporal_encoder", "fusion", "decoder", "chain", "end to end"):
            row = found[(*pair, part)]
            assert 0 < row.p50_ms <= row.p90_ms <= row.p99_ms and row.repeats == 3
            assert row.ratio == pytest.approx(1) if pair[0] == "torch" else row.ratio > 0
        chain, whole = (found[(*pair, part)].p50_ms for part in ("chain", "end to end"))
        assert whole > chain
    for part in ("decode", "pre-process"):
        assert found["", "", part].repeats == 3 and found["", "", part].ratio is None


def test_peak_memory_is_that_of_the_backend_alone(bundle_path):
    alone = peak_memory(bundle_path, "onnxruntime", "fp32")
    assert 20e6 < alone < 1e9
    assert alone < peak_memory(bundle_path, "torch", "fp32")
    with pytest.raises(EngineError, match="failed"):
        peak_memory(bundle_path, "onnxruntime", "int3")


def test_bad_requests_are_one_line(bundle_path, tmp_path):
    for arguments in (["absent"], [bundle_path, "--backends", "caffe"], [bundle_path, "--repeats", "3"]):
        done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_lowest_iou_by_hand():
    import numpy as np

    ours, theirs = (np.full((1, 1, 4, 4), -9, np.float32) for _ in range(2))
    ours[..., :2, :] = 9
    theirs[..., 1:3, :] = 9
    assert lowest_iou(ours, theirs, "probability") == pytest.approx(4 / 12)
    nothing = np.full((1, 1, 4, 4), -9, np.float32)
    assert lowest_iou(nothing, nothing, "probability") == 1
    assert json.dumps(lowest_iou(ours, ours, "half_max")) == "1.0"


def test_the_ratio_is_eagers_time_over_ours():
    parts = {("torch", "fp32", "chain"): [4.0, 4.0, 9.0], ("openvino", "fp32", "chain"): [1.0, 0.5, 1.0]}
    rows = bench.to_rows(parts | {("", "", "decode"): [0.1, 0.2, 0.3]})
    assert {row.backend: row.ratio for row in rows} == {"torch": 1.0, "openvino": 4.0, "": None}
    assert [row.p50_ms for row in rows] == pytest.approx([4000, 1000, 200])


def test_what_a_source_takes_is_counted_and_taken_once():
    timed = bench._Timed(time.sleep(0.02) or i for i in range(2))
    assert list(timed) == [0, 1]
    assert 0.04 <= timed.take() < 1
    assert timed.take() == 0


def test_a_table_of_latencies():
    parts = {("torch", "fp32", "end to end"): [0.5], ("openvino", "int8", "end to end"): [0.125]}
    console = make_console()
    with console.capture() as capture:
        console.print(table(bench.to_rows(parts), {("openvino", "int8"): 123_000_000}))
    rows = [line.split() for line in capture.get().splitlines() if "end to end" in line]
    figures = [[word for word in row if word not in "│┃"][-6:] for row in rows]
    assert figures[0][1:] == ["125.00", "125.00", "8.0", "4.00", "123"]
    assert figures[1][2:] == ["500.00", "500.00", "2.0", "1.00"]
