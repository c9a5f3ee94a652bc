import json

import pytest

from cstm.errors import BundleError
from cstm.export.steps import Steps, held
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


@pytest.mark.parametrize("record", ["", "{", "[]", '{"a": 1}', '{"a": {"key": "1"}}', "[" * 100000])
def test_a_record_that_cannot_be_read_is_of_nothing(tmp_path, record):
    (tmp_path / "steps.json").write_text(record)
    steps = Steps(tmp_path)
    steps.run("a", {}, [], dict)
    assert steps.ran == ["a"]
    assert Steps(tmp_path).run("a", {}, [], dict) and json.loads((tmp_path / "steps.json").read_text()).keys() == {"a"}


def test_other_code_runs_a_step_again(tmp_path):
    for code, ran in (("a", ["step"]), ("a", []), ("b", ["step"])):
        steps = Steps(tmp_path, code=code)
        steps.run("step", {}, [], dict)
        assert steps.ran == ran


def test_a_folder_is_held_by_one_and_goes_where_nothing_was_done(tmp_path):
    with held(tmp_path / "work"), pytest.raises(BundleError, match="builds there"), held(tmp_path / "work"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "work"):
        Steps(tmp_path / "work").run("a", {}, [], dict)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["lock", "steps.json"]
