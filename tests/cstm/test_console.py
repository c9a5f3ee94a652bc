"""How commands end: by codes and in words."""

import os
import signal
import subprocess
import sys

import pytest

from cstm.console import fail, run_command

PROGRAM = """
import signal, sys, time
from pathlib import Path
from cstm.console import run_command
from cstm.files import atomic_path

# Whoever runs the tests may ignore them (nohup, a job in the background), and children inherit that.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

def work():
    with atomic_path(Path(sys.argv[1]) / "masks.json") as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

sys.exit(run_command(work, signals=True))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_nothing_half_written_stays(number, code, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(20) == code
        assert len(process.stderr.read().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_signals_are_handled_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    assert run_command(lambda: 0, signals=True) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "from cstm.console import run_command; import sys\nsys.exit(run_command(lambda: print('x' * 10**6) or 0))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-u", "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141 and done.stderr == ""


def test_any_name_can_be_printed_on_any_terminal():
    code = "from cstm.console import fail; fail('f\\u00fc\\udce9r.mp4: no such file')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == "error: f\\xfc\\udce9r.mp4: no such file\n"


def test_out_of_memory_is_one_line(capsys):
    def work():
        raise MemoryError("8 GiB")

    assert run_command(work) == 2
    assert "out of memory (8 GiB)" in capsys.readouterr().err
    assert fail("two\nlines") == 2
    assert capsys.readouterr().err == "error: two lines\n"


@pytest.mark.parametrize("printed", ["print('few')", "make_console().print('few')", "print('few'); sys.exit(0)"])
def test_a_reader_that_left_is_noticed_before_the_end(printed):
    """Python itself would notice when it ends, and say so in many lines."""
    code = f"""
import sys
from cstm.console import make_console, run_command
def work():
    {printed}
    return 0
sys.exit(run_command(work))"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_any_result_can_be_printed_on_any_terminal():
    code = "from cstm.console import run_command; run_command(lambda: print('f\\u00fc\\udce9r.mp4'))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("f\\xfc\\udce9r.mp4\n", "")
