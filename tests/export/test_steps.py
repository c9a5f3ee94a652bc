import pytest

from cstm.export.steps import Steps
from cstm.fingerprint import code_fingerprint


def make(steps, inputs=1, text="made"):
    def action():
        (steps.folder / "out.txt").write_text(text)
        return {"size": len(text)}

    return steps.run("make", {"inputs": inputs}, ["out.txt"], action)


def test_unchanged_steps_are_not_run_again(tmp_path):
    first = make(Steps(tmp_path))
    again = Steps(tmp_path)
    assert make(again, text="other") == first
    assert again.ran == [] and (tmp_path / "out.txt").read_text() == "made"


def test_changed_inputs_lost_and_altered_outputs_run_again(tmp_path):
    make(Steps(tmp_path))
    for disturb in (lambda: None, (tmp_path / "out.txt").unlink, lambda: (tmp_path / "out.txt").write_text("bad")):
        disturb()
        steps = Steps(tmp_path)
        make(steps, inputs=2)
        assert (tmp_path / "out.txt").read_text() == "made"
    assert Steps(tmp_path, force=True)._done == {}


def test_a_failed_step_is_not_recorded(tmp_path):
    def fail():
        (tmp_path / "out.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Steps(tmp_path).run("make", {}, ["out.txt"], fail)
    steps = Steps(tmp_path)
    make(steps)
    assert steps.ran == ["make"]
    assert len(steps.digest("out.txt")) == 64


def test_the_code_is_part_of_the_inputs():
    assert code_fingerprint("export") != code_fingerprint("models")
