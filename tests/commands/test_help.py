"""Every command's help, without what its work needs."""

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from cstm.commands.main import COMMANDS, main
from cstm.commands.types import finite, positive, share
from cstm.errors import CSTMError

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


def options():
    """Every command's name with each of its options."""
    for name in COMMANDS:
        top = argparse.ArgumentParser()
        import_module(f"cstm.commands.{name}").add_arguments(top)
        for parser in parsers(top):
            yield from ((name, a) for a in parser._actions if not isinstance(a, argparse._SubParsersAction))


def test_every_option_has_a_help_sentence():
    assert [f"{name} {option.dest}" for name, option in options() if not option.help] == []


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


@pytest.mark.parametrize("text", ["nan", "inf", "-0.01", "1.01", "x"])
def test_a_share_is_from_0_to_1(text):
    assert [share("0"), share("0.5"), share("1")] == [0, 0.5, 1]
    with pytest.raises(argparse.ArgumentTypeError):
        share(text)


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--max-miou-drop", "nan", "'nan' is not a finite number"),
        ("--max-miou-drop", "inf", "'inf' is not a finite number"),
        ("--max-miou-drop", "-0.1", "'-0.1' is not from 0 to 1"),
        ("--percentile", "nan", "'nan' is not a finite number"),
    ],
)
def test_figures_that_every_comparison_passes_are_refused(option, text, said, capsys):
    for command in (["plan", "x"], ["build"]):
        with pytest.raises(SystemExit):
            main([*command, option, text])
        assert said in capsys.readouterr().err


def test_no_command_takes_a_number_that_may_be_nan():
    """Each option's kind is asked."""
    found = [f"{name} {option.dest}" for name, option in options() if isinstance(_as(option.type, "0.5"), float)]
    taken = [f"{name} {o.dest}" for name, o in options() for t in ("nan", "inf") if isinstance(_as(o.type, t), float)]
    assert {"plan max_miou_drop", "build percentile", "train rate"} <= set(found) and taken == []


def _as(kind, text):
    """The text as an option of that kind takes it; None where it does not."""
    try:
        return kind(text)
    except (ValueError, TypeError, CSTMError, argparse.ArgumentTypeError):
        return None
