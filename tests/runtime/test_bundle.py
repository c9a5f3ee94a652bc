"""A bundle that would give wrong masks refuses to open, and says why."""

import json

import pytest

from cstm.errors import BundleError
from cstm.runtime.bundle import Bundle, onnx_file

# Fields for people, and what older bundles lack; the runtime needs none of them.
TOLD = ("accuracy", "built", "calibration", "kept_in_fp32", "parity", "plan", "presence", "tools")


def edit(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | changes))


def test_no_bundle(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match="not a bundle"):
            Bundle(path)


def test_fields_that_are_missing_or_wrong(bundle_copy):
    whole = json.loads((bundle_copy / "manifest.json").read_text())
    for field in whole:
        (bundle_copy / "manifest.json").write_text(json.dumps({k: v for k, v in whole.items() if k != field}))
        if field in TOLD:
            Bundle(bundle_copy)
        else:
            with pytest.raises(BundleError, match="rebuild"):
                Bundle(bundle_copy)
    for wrong in ({"max_batch": 0}, {"files": []}, {"engines": [{}]}, {"config": {"widht": 1}}, {"precisions": None}):
        (bundle_copy / "manifest.json").write_text(json.dumps(whole | wrong))
        with pytest.raises(BundleError, match="rebuild"):
            Bundle(bundle_copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 2}'])
def test_no_manifest(bundle_copy, content):
    (bundle_copy / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match="rebuild"):
        Bundle(bundle_copy)


def test_another_schema(bundle_copy):
    edit(bundle_copy, schema=99)
    with pytest.raises(BundleError, match="schema 99, this version reads 2"):
        Bundle(bundle_copy)


def test_another_contract(bundle_copy):
    edit(bundle_copy, contract=[])
    with pytest.raises(BundleError, match="another contract"):
        Bundle(bundle_copy)


def test_a_missing_file(bundle_copy):
    (bundle_copy / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json: missing"):
        Bundle(bundle_copy)


def test_a_shortened_file(bundle_copy):
    path = bundle_copy / onnx_file("decoder", "fp32")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"decoder\.onnx: altered"):
        Bundle(bundle_copy)


def test_an_altered_byte(bundle_copy):
    name = onnx_file("decoder", "fp32")
    data = bytearray((bundle_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle_copy / name).write_bytes(data)
    bundle = Bundle(bundle_copy)
    with pytest.raises(BundleError, match=r"decoder\.onnx: altered"):
        bundle.file(name)
    with pytest.raises(BundleError, match="holds no other"):
        bundle.file("other")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "onnx/../../secret"])
def test_names_that_lead_out_of_the_bundle(bundle_copy, name):
    whole = json.loads((bundle_copy / "manifest.json").read_text())
    record = next(iter(whole["files"].values()))
    edit(bundle_copy, files=whole["files"] | {name: record})
    with pytest.raises(BundleError, match="lies outside"):
        Bundle(bundle_copy)


def test_presence_is_whole_or_refused(bundle_copy):
    told = {"slope": 1, "bias": 0.5, "threshold": -1, "auroc": 0.9, "false_positives": 0.2, "present": 3, "absent": 6}
    edit(bundle_copy, presence=told)
    assert Bundle(bundle_copy).manifest.presence.threshold == -1
    for wrong in ({"slope": "1"}, {"bias": float("nan")}, {"threshold": None}, {"more": 1}):
        edit(bundle_copy, presence=told | wrong)
        with pytest.raises(BundleError, match="rebuild"):
            Bundle(bundle_copy)
