"""The first ten minutes on a GPU, without one: each step alone, and what the run makes of steps that fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from cstm.bench.gpu_steps import STEPS, Step, apart, command, operators
from cstm.bench.gpu_steps.place import Place
from cstm.errors import ParityError
from cstm.kernels import plain
from cstm.runtime.device_array import DeviceArray

SCRIPT = Path(__file__).parents[2] / "bench/gpu_first.py"
INTERPRETED = ("versions", "arrays", "sessions", "kernels", "bandwidth", "graphs")
# Steps by name: the body of each one's `run`.
TOYS = {
    "right": 'tell("at work"); return Found("fine", {"frame_ms": {"toy": 1.5}})',
    "wrong": 'return Found("3 of 4 right", {"far": 1}, passed=False)',
    "raises": 'raise ValueError("two\\nlines")',
    "dies": 'tell("so far"); os.kill(os.getpid(), 11)',
    "hangs": 'child = subprocess.Popen(["sleep", "60"]); tell(f"child {child.pid}"); time.sleep(60)',
    "skips": 'raise Skipped("no such thing here")',
    "lacks": "import no_such_package",
    "lacks_ours": "import cstm.no_such_module",
    "reads": 'return Found(open(os.environ["REPORT"]).read())',
}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The toy steps by name. The one that hangs may take a second."""
    for name, body in TOYS.items():
        (tmp_path / f"toy_{name}.py").write_text(
            "import os, subprocess, time\n"
            "from cstm.bench.gpu_steps.place import Found, Skipped, tell\n"
            f"def run(place):\n    {body}\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return {name: Step(f"toy_{name}", "toys", seconds=1 if name == "hangs" else 30) for name in TOYS}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return Place("cpu", folder, folder / "bundle")


@pytest.fixture
def own_modules(monkeypatch):
    """What a dry run puts in the place of libraries goes with the test."""
    for name in ("cuda.core", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name))


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_step_that_fails_crashes_or_hangs_does_not_end_the_run(toys, place, tmp_path):
    report = tmp_path / "report.json"
    del toys["reads"]
    results = {r.name: r for r in command.run_steps(toys | {"last": toys["right"]}, place, 60, report)}
    assert {name: (result.outcome, result.said) for name, result in results.items() if name != "hangs"} == {
        "right": ("PASS", "fine"),
        "wrong": ("FAIL", "3 of 4 right"),
        "raises": ("FAIL", "ValueError: two lines"),
        "dies": ("FAIL", "its process ended by SIGSEGV, after: so far"),
        "skips": ("SKIP", "no such thing here"),
        "lacks": ("SKIP", "no_such_package is not installed"),
        "lacks_ours": ("FAIL", "ModuleNotFoundError: No module named 'cstm.no_such_module'"),
        "last": ("PASS", "fine"),
    }
    assert any("toy_raises.py" in line for line in results["raises"].log) and not results["right"].log
    hung = results["hangs"]
    assert hung.outcome == "FAIL" and hung.said.startswith("cut after 1 s, at: child ") and hung.seconds < 5
    assert not is_running(int(hung.said.split()[-1]))
    record = json.loads(report.read_text())
    assert record["dry"] and [step["name"] for step in record["steps"]] == list(results)
    assert record["steps"][0]["figures"] == {"frame_ms": {"toy": 1.5}}


def test_the_report_is_whole_after_each_step(toys, place, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    monkeypatch.setenv("REPORT", str(report))
    *_, seen = command.run_steps({name: toys[name] for name in ("right", "reads")}, place, 60, report)
    assert [step["name"] for step in json.loads(seen.said)["steps"]] == ["right"]


def test_the_exit_code_tells_and_all_of_it_takes_no_longer_than_is_said(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "STEPS", {name: toys[name] for name in ("right", "skips", "wrong", "hangs")})
    run = lambda *arguments: command.main(["--dry", "--json", str(tmp_path / "report.json"), *arguments])  # noqa: E731
    monkeypatch.chdir(tmp_path)
    assert run("--only", "right", "skips") == 0
    assert "PASS right" in (shown := capsys.readouterr().out) and "1 PASS; 0 FAIL; 1 SKIP" in shown
    assert run("--only", "wrong", "right") == 1
    assert "1 PASS; 1 FAIL; 0 SKIP: wrong" in capsys.readouterr().out
    start = time.monotonic()
    assert run("--only", "hangs", "--minutes", "0.01") == 1 and time.monotonic() - start < 5
    assert run("--minutes", "0") == 1
    assert "not reached in 0 s" in capsys.readouterr().out
    for wrong in (["--only", "nothing"], ["absent"]):
        assert run(*wrong) == 2 and capsys.readouterr().err.startswith("error: ")


def test_whoever_interrupts_leaves_nothing_running(toys, place):
    told = []

    def interrupt(text: str) -> None:
        told.append(text)
        if text.startswith("child"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart.run_apart("hangs", toys["hangs"], place, 30, interrupt)
    assert not is_running(int(told[-1].split()[-1]))


def test_it_runs_by_path_where_cstm_is_not_installed(tmp_path):
    """Without `site`, the editable install is not found."""
    environment = os.environ | {"PYTHONPATH": str(Path(torch.__file__).parents[1])}
    bare = subprocess.run([sys.executable, "-S", "-c", "import cstm"], env=environment, cwd=tmp_path, stderr=-1)
    assert b"No module named 'cstm'" in bare.stderr
    done = subprocess.run([sys.executable, "-S", SCRIPT, "--list"], env=environment, cwd=tmp_path, stdout=-1, text=True)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(STEPS)


@pytest.mark.parametrize("name", INTERPRETED)
def test_a_step_passes_on_the_cpu(own_modules, place, name):
    if torch.cuda.is_available():
        pytest.skip("kernels are interpreted only where there is no GPU")
    found = import_module(STEPS[name].module).run(place)
    assert found.passed, found.said
    json.dumps(found.figures)


def test_a_kernel_that_is_wrong_in_one_type_is_found(place, monkeypatch):
    def wrong(x, u, *language_plan):
        right = plain.modulate(x, u, *language_plan)
        return right * 1.01 if x.dtype == torch.bfloat16 else right

    monkeypatch.setitem(operators.OPERATORS, "modulate", (wrong, plain.modulate))
    monkeypatch.setitem(operators.OPERATORS, "select", (plain.select, plain.select))
    found = import_module(STEPS["kernels"].module).run(place)
    assert not found.passed
    assert found.said.endswith("too far: modulate small bf16, modulate small and deep bf16")


def test_an_array_that_is_copied_wrong_or_at_all_is_found(own_modules, place, monkeypatch):
    step = import_module(STEPS["arrays"].module)
    whole = DeviceArray.copy
    monkeypatch.setattr(DeviceArray, "copy", lambda self: whole(self)[:1])
    with pytest.raises(ParityError, match="a copy: off by"):
        step.run(place)
    monkeypatch.setattr(DeviceArray, "copy", whole)
    monkeypatch.setattr(step.TorchSide, "from_interface", lambda self, array: torch.from_dlpack(array).clone())
    with pytest.raises(ParityError, match="the interface: copied on the way"):
        step.run(place)


def test_a_session_that_is_not_replayed_is_found(own_modules, place, monkeypatch):
    monkeypatch.setenv("CSTM_CUDA_GRAPHS", "0")
    with pytest.raises(ParityError, match="no graph: CSTM_CUDA_GRAPHS=0"):
        import_module(STEPS["graphs"].module).run(place)
