"""Reading and writing checkpoints, on a small network; the authors' file is in test_released.py."""

import json
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cstm.errors import CheckpointError, CSTMError
from cstm.models.checkpoint import load_checkpoint, read_metadata, read_tokenizer, save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.seeded import seeded

SMALL = CSTMConfig.from_preset("tiny", size=32, vocabulary=40, transformer_layers=1)


def test_saved_and_loaded_are_the_same(tmp_path):
    model = seeded(SMALL)
    save_checkpoint(model, tmp_path / "m.safetensors")
    again = load_checkpoint(tmp_path / "m.safetensors")
    assert (again.config, again.provenance, again.trained) == (SMALL, {"kind": "seeded", "seed": 0}, False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_mismatch_lists_missing_unexpected_and_misshapen(tmp_path):
    tensors = {"conv_mask.5.4.bias": torch.zeros(3), "stranger": torch.zeros(1)}
    torch.save(tensors, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(tmp_path / "bad.pth")
    said = str(raised.value)
    assert "missing: " in said and "unexpected: stranger" in said
    assert "misshapen: decoder.heads.5.4.bias (3,) for (1,)" in said


OTHERS = {
    "empty": b"",
    "text": b"no checkpoint",
    "text that opens like a pickle": b"text\n",
    "memo that is not there": b"\x80\x02h\x07.",
    "empty stack": b"\x80\x02.",
    "list": [1, 2],
    "numbers": {"state_dict": {"a": 1}},
    "numbers for names": {1: torch.zeros(1)},
    "sparse": {"a": torch.zeros(2).to_sparse()},
    "no data": {"a": torch.zeros(2, device="meta")},
    "cut short": {"a": torch.zeros(9)},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_refused_in_one_line_without_pytorchs_advice(tmp_path, kind):
    content, path = OTHERS[kind], tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"x\.pth") as raised:
        load_checkpoint(path)
    assert "weights_only" not in str(raised.value) and len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("path", [None, 3, b"x.pth", "x" * 5000, "a\0b", "."])
def test_what_names_no_file_is_refused(path):
    for read in (load_checkpoint, read_metadata, read_tokenizer):
        with pytest.raises(CheckpointError, match="checkpoint"):
            read(path)


def written(path, tensors=None, **metadata):
    """A .safetensors file whose header is that of SMALL but for `metadata`."""
    whole = {"config": SMALL.to_dict(), "provenance": {"kind": "trained"}} | metadata
    save_file(tensors or {}, path, {k: v if isinstance(v, str) else json.dumps(v) for k, v in whole.items()})
    return path


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"config": "["}, "not a CSTM checkpoint"),
        ({"config": "[" * 100_000}, "not a CSTM checkpoint"),
        ({"config": [1]}, "not a mapping"),
        ({"config": {"decoder_width": -1}}, "decoder_width"),
        ({"config": {"spatial_layers": [10**9] * 4}}, "spatial_layers"),
        ({"provenance": []}, "provenance"),
        ({"provenance": {"kind": 3}}, "provenance"),
        ({"config": SMALL.to_dict() | {"decoder_width": 4096, "spatial_width": 8.0}}, "missing: "),
    ],
)
def test_headers_that_lie_are_refused_at_once(tmp_path, metadata, said):
    """The last would take 50 GB, were it built before it is compared with the file."""
    with pytest.raises(CheckpointError, match=said) as raised:
        load_checkpoint(written(tmp_path / "x.safetensors", **metadata))
    assert len(str(raised.value).splitlines()) == 1


def test_weights_of_another_type_are_refused(tmp_path):
    tensors = seeded(SMALL).state_dict()
    tensors["decoder.heads.5.2.bias"] = torch.zeros(1, dtype=torch.complex64)
    with pytest.raises(CheckpointError, match=r"mistyped: decoder\.heads\.5\.2\.bias complex64 for float32"):
        load_checkpoint(written(tmp_path / "x.safetensors", tensors))


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory):
    """The bytes of readable files, by suffix, that hold one tensor of no network."""
    folder = tmp_path_factory.mktemp("sound")
    torch.save({"stranger": torch.ones(3)}, folder / "x.pth")
    torch.save({"stranger": torch.ones(3)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    written(folder / "x.safetensors", {"stranger": torch.ones(3)}, config={"text": "gru"})
    return [(file.suffix, file.read_bytes()) for file in sorted(folder.iterdir())]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_only_our_errors_leave_whatever_the_bytes(sound_files, tmp_path, data):
    suffix, content = data.draw(st.sampled_from(sound_files))
    start, end = (data.draw(st.integers(0, len(content))) for _ in range(2))
    put = data.draw(st.sampled_from([b"", b"\x80\x02"]) | st.binary(max_size=40))
    fate = data.draw(st.sampled_from(["cut", "put over", "put alone"]))
    changed = {"cut": content[:start], "put over": content[:start] + put + content[end:], "put alone": put}[fate]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(changed)
    for read in (load_checkpoint, read_metadata, read_tokenizer):
        with suppress(CSTMError):
            read(path)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers(-1, 9))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(sorted(SMALL.to_dict())), VALUES, max_size=3))
def test_only_our_errors_leave_whatever_the_configuration(tmp_path, changes):
    path = written(tmp_path / "x.safetensors", config=SMALL.to_dict() | changes)
    with pytest.raises(CSTMError):
        load_checkpoint(path)


def test_broken_safetensors_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="not a CSTM checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
