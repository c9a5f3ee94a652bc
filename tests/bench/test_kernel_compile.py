"""Kernels compiled for real GPUs, in a process of its own: here they are interpreted."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cstm.bench.kernel_compile import traffic_rows
from cstm.commands.main import main

SIZES = {"fp16": 2, "fp32": 4}


@pytest.mark.slow
def test_kernels_compile_without_a_gpu_and_do_not_spill(tmp_path):
    file = tmp_path / "kernels.json"
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    arguments = ["--capabilities", "90", "--dtypes", "fp16", "--json", str(file)]
    command = [sys.executable, "-m", "cstm.commands.main", "kernels", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["resources"]
    kernels = ["blend_streams", "pool_streams", "raise_channels", "score_words", "weigh_words"]
    assert [row["kernel"] for row in rows] == kernels
    for row in rows:
        assert row["spills"] == 0 and row["registers"] <= 128 and row["shared"] <= 4096, row


def test_interpreted_kernels_are_not_compiled(monkeypatch, capsys):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert main(["kernels"]) == 2 and "TRITON_INTERPRET" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", SIZES)
def test_little_more_than_the_floor_is_moved(dtype):
    rows = {row["where"]: row for row in traffic_rows((dtype,))}
    assert len(rows) == 15 and all(1 <= row["ratio"] < 1.03 for row in rows.values())
    first = 64 * 160 * 160
    assert rows["spatial 1"]["floor"] == SIZES[dtype] * (4 * first + 2 * 64 * 24 + 24)
    assert rows["fusion 1"]["floor"] == SIZES[dtype] * (5 * 4 * first + 512)
