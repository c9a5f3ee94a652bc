"""Every command's help, without what its work needs."""

import argparse
import subprocess
import sys

import pytest

from cstm.commands.main import COMMANDS, main
from cstm.commands.types import finite, positive

HEAVY = "torch onnx onnxruntime openvino cv2 matplotlib triton tensorrt tensorrt_rtx scipy h5py transformers modelopt"
CODE = """
import sys
for name in sys.argv[1].split():
    sys.modules[name] = None
from cstm.commands.main import COMMANDS, main
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit as done:
        assert done.code == 0, name
    else:
        sys.exit(f"{name} --help failed")
"""


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def test_every_option_has_a_help_sentence():
    from importlib import import_module

    without = []
    for name in COMMANDS:
        top = argparse.ArgumentParser()
        import_module(f"cstm.commands.{name}").add_arguments(top)
        for parser in parsers(top):
            hidden = argparse._SubParsersAction
            without += [f"{name} {a.dest}" for a in parser._actions if not a.help and not isinstance(a, hidden)]
    assert without == []


def test_help_needs_the_bare_install_alone():
    done = subprocess.run([sys.executable, "-c", CODE, HEAVY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: cstm") == len(COMMANDS)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", ""])
def test_a_number_is_finite(text):
    with pytest.raises(argparse.ArgumentTypeError):
        finite(text)


@pytest.mark.parametrize("text", ["2.5", "0", "-1", "nan", "x"])
def test_a_count_is_a_whole_number(text):
    with pytest.raises(argparse.ArgumentTypeError):
        positive(text)


def test_a_budget_that_nothing_exceeds_is_refused(capsys):
    for command in (["plan", "x"], ["build"]):
        with pytest.raises(SystemExit):
            main([*command, "--max-miou-drop", "nan"])
        assert "finite number" in capsys.readouterr().err
