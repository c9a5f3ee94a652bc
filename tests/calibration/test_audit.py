"""What FP16 cannot hold is found by its range, kept in FP32, and said."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cstm.calibration import audit as audit_module
from cstm.calibration.audit import audit, execution_order, kept_nodes
from cstm.calibration.audit_plot import draw
from cstm.calibration.audit_table import table
from cstm.calibration.samples import CalibrationOptions
from cstm.console import make_console
from cstm.export.builder import BuildBundle, BuildOptions
from cstm.export.sources import Source
from cstm.graph.half import convert_to_fp16
from cstm.graph.tensor_range import Range
from cstm.models.checkpoint import save_checkpoint
from cstm.models.config import CSTMConfig
from cstm.models.seeded import seeded
from cstm.runtime.bundle import Bundle

SCALE = 300.0


def scaled_model(path):
    """y = 1e-3 * relu(SCALE * relu(SCALE * x)): the second activation is SCALE^2 times the input."""
    weights = {"up": np.full((4, 4, 1, 1), SCALE / 4, np.float32), "down": np.full((4, 4, 1, 1), 2.5e-4, np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "up"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "up"], ["c"], "second"),
        helper.make_node("Relu", ["c"], ["d"], "wide"),
        helper.make_node("Conv", ["d", "down"], ["y"], "third"),
    ]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def spread(largest, small=0.0):
    return Range(-largest, largest, largest, small, 256)


RANGES = {"net": {"x": spread(2), "a": spread(6e2), "b": spread(6e2), "c": spread(1.8e5), "d": spread(1.8e5)}}


def run(model, x):
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


def test_an_overflow_is_named_with_its_node_and_reason(tmp_path):
    found = audit(RANGES, {"net": scaled_model(tmp_path / "net.onnx")})
    assert [(f.tensor, f.node) for f in found] == [("c", "second"), ("d", "wide")]
    assert all("FP16 ends at 65504" in f.reason for f in found)


def test_values_below_the_smallest_normal_number_are_found(tmp_path):
    ranges = {"net": RANGES["net"] | {"c": spread(1.0), "d": spread(1e-5, small=0.97)}}
    (found,) = audit(ranges, {"net": scaled_model(tmp_path / "net.onnx")})
    assert found.tensor == "d" and "97 %" in found.reason


def test_what_fits_is_left_alone(tmp_path):
    ranges = {"net": dict.fromkeys(RANGES["net"], spread(1e4))}
    assert audit(ranges, {"net": scaled_model(tmp_path / "net.onnx")}) == []


def test_a_sum_inside_a_mean_is_found(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["m"], "mean", keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 100_000])],
        [helper.make_tensor_value_info("m", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([1]), "axes")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "mean.onnx")
    ranges = {"net": {"x": Range(0, 2, 2, 0, 100_000), "m": Range(0, 1.5, 1.5, 0, 1)}}
    (found,) = audit(ranges, {"net": tmp_path / "mean.onnx"})
    assert found.node == "mean" and "sum reaches 1.5e+05" in found.reason


@pytest.mark.parametrize(
    ("operator", "read", "made", "found"),
    [
        ("ReduceL2", 1, 300, "sum of squares reaches 9.0e+04"),
        ("ReduceL2", 300, 100, None),
        ("LayerNormalization", 300, 2, "square of the input reaches 9.0e+04"),
        ("LayerNormalization", 100, 300, None),
        ("GlobalAveragePool", 1e4, 200, "sum reaches 5.1e+04"),
        ("GlobalAveragePool", 1e4, 100, None),
        ("Softmax", 300, 300, None),
    ],
)
def test_what_an_operator_passes_through_is_found(operator, read, made, found):
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], "node")], "g", [], [])
    ranges = {"x": spread(read), "y": Range(0, made, made, 0, 1)}
    reasons = [finding.reason for finding in audit_module._findings("c", ranges, graph)]
    assert reasons == ([] if found is None else [f"{found}, FP16 ends at 65504"])


def test_kept_nodes_save_what_fp16_alone_would_lose(tmp_path):
    """AutoCast sees small inputs alone here, so that it has nothing to protect by itself. Run by ONNX's reference: ONNX
    Runtime's CPU drops the casts between FP16 operators that it computes in FP32, and so never overflows."""
    path = scaled_model(tmp_path / "net.onnx")
    small = {"x": np.full((1, 4, 8, 8), 1e-3, np.float32)}
    large = np.random.default_rng(0).uniform(1, 2, (2, 4, 8, 8)).astype(np.float32)
    keep = kept_nodes(audit(RANGES, {"net": path}), onnx.load(path).graph)
    assert keep == ["second", "wide", "third"]
    model = onnx.load(path)
    alone, kept = convert_to_fp16(model, small), convert_to_fp16(model, small, keep)
    expected = run(model, large)
    with np.errstate(over="ignore"):
        assert np.isinf(run(alone, large)).any()
    np.testing.assert_allclose(run(kept, large), expected, rtol=1e-2)


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """A bundle of a network whose mask head passes through a million, and gives the same masks."""
    folder = tmp_path_factory.mktemp("overflow")
    model = seeded(
        CSTMConfig.from_preset(
            "tiny", size=64, transformer_layers=1, spatial_width=0.125, streams=("spatial",), lgfs_stages=()
        )
    )
    first, _, last = model.decoder.heads[-1]
    for parameter in first.parameters():
        parameter.data *= 1e6
    last.weight.data /= 1e6
    save_checkpoint(model, folder / "large.safetensors")
    options = BuildOptions(
        Source(folder / "large.safetensors"),
        folder / "bundle",
        backend="none",
        max_batch=2,
        calibration=CalibrationOptions(samples=4, force=True),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return Bundle(BuildBundle(options)())


@pytest.mark.slow
def test_a_network_that_overflows_is_right_in_fp16_and_the_manifest_says_why(overflowing):
    kept = overflowing.manifest.kept_in_fp32
    (head, *_) = [finding for finding in kept if finding["component"] == "decoder"]
    assert head["largest"] > 65504 and "FP16 ends at 65504" in head["reason"]
    (accuracy,) = [row for row in overflowing.manifest.accuracy if row["precision"] == "fp16"]
    assert accuracy["lowest"] > 0.95


def test_the_table_and_the_plot_show_the_findings(tmp_path):
    models = {"net": scaled_model(tmp_path / "net.onnx")}
    findings = audit(RANGES, models)
    ranges = execution_order(RANGES, models)
    assert list(ranges["net"]) == ["x", "a", "b", "c", "d"]
    console = make_console()
    with console.capture() as captured:
        console.print(table(ranges, findings))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in captured.get().splitlines()]
    assert ["net", "all 5", "1.8e+05", "0.36", "0.0", "2"] in rows
    assert [row[:5] for row in rows if row[:1] == ["net"]][1:] == [
        ["net", tensor, "1.8e+05", "0.36", "0.0"] for tensor in ("c", "d")
    ]
    draw(ranges, findings, tmp_path / "ranges.png")
    assert (tmp_path / "ranges.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "ranges.png").stat().st_size > 5000


@pytest.mark.parametrize(("largest", "found"), [(30_000, 0), (36_000, 1), (60_000, 1)])
def test_a_margin_of_two_is_kept_below_the_end_of_fp16(largest, found):
    """What calibration sees is not the world: half of FP16's range is left for the rest."""
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="relu")
    graph = onnx.helper.make_graph([node], "g", [], [])
    ranges = {"y": Range(0, largest, largest, 0, 10)}
    assert len(list(audit_module._findings("c", ranges, graph))) == found
