"""Ranges: counted right over many chunks, cut by the method, measured once, and never of values that are no numbers."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from cstm.calibration import ranges as ranges_module
from cstm.calibration.inputs import component_inputs
from cstm.calibration.ranges import BINS, QUANTISED, MeasureRanges, Statistics
from cstm.calibration.samples import CalibrationOptions
from cstm.errors import CalibrationError
from cstm.models.contract import CLIP
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain

RNG = np.random.default_rng(0)
# Each chunk is wider than the one before it, so that bins have to widen.
CHUNKS = [RNG.normal(0.1, spread, (2, 5000)).astype(np.float32) for spread in (1e-6, 0.01, 1, 30)]
WIDE = [*CHUNKS, *[RNG.normal(0, 20, (2, 5000)).astype(np.float32) for _ in range(4)]]


def by(method, percentile=99.0):
    return CalibrationOptions(method=method, percentile=percentile)


def seen(*chunks):
    statistics = Statistics()
    for chunk in chunks:
        statistics.add(np.asarray(chunk, np.float32))
    return statistics


def test_extremes_and_counts_are_those_of_all_chunks_together():
    statistics, values = seen(*WIDE), np.concatenate(WIDE).ravel()
    found = statistics.range(by("max"))
    assert (found.low, found.high, found.limit) == (values.min(), values.max(), np.abs(values).max())
    assert found.size == CHUNKS[0].size and statistics.counts.sum() == values.size
    assert found.small == np.mean(np.abs(values) < 2.0**-14)


def test_the_small_are_a_share_of_the_non_zero_values_of_all_chunks():
    statistics = seen([0, 1e-6, -1e-6, 2.0**-14, 3], [0, 0, -1, 2, 1e-7])
    assert statistics.range(by("max")).small == 3 / 7, "the smallest normal number is not below itself"
    assert seen([0, 1]).range(by("max")).small == 0


@pytest.mark.parametrize("percentile", [60.0, 99.0, 99.9, 100.0])
def test_a_percentile_is_right_to_a_bin(percentile):
    statistics = seen(*WIDE)
    expected = np.percentile(np.abs(np.concatenate(WIDE)), percentile, method="inverted_cdf")
    assert abs(statistics.range(by("percentile", percentile)).limit - expected) <= statistics.width * 1.001
    assert statistics.width <= 2 * np.abs(np.concatenate(WIDE)).max() / BINS


@pytest.mark.parametrize("method", ["max", "percentile", "entropy"])
def test_zeros_alone_have_a_range_of_zero(method):
    found = seen(np.zeros(5), np.zeros(7)).range(by(method))
    assert (found.low, found.high, found.limit, found.small) == (0, 0, 0, 0)
    assert seen(np.zeros(5), np.ones(7)).range(by(method)).limit == pytest.approx(1)


def test_the_tiniest_values_are_counted():
    statistics = seen([1e-40, 0], [1, 0.5])
    assert statistics.counts.sum() == 4 and statistics.range(by("max")).limit == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunks", [0, 2])
def test_what_is_no_number_is_refused_in_any_chunk(bad, chunks):
    with pytest.raises(CalibrationError, match="no numbers"):
        seen(*CHUNKS[:chunks], [1, bad, 2])


def test_entropy_cuts_a_lone_outlier_and_max_does_not():
    values = np.random.default_rng(1).normal(0, 1, 100_000)
    statistics = seen(np.append(values, 100 * np.abs(values).max()))
    assert statistics.range(by("max")).limit > 400
    assert 2 < statistics.range(by("entropy")).limit < 40


@pytest.mark.parametrize("draw", ["normal", "laplace", "standard_cauchy", "exponential"])
def test_entropy_cuts_where_a_plain_search_does(draw):
    """The same search written out, a bin and a level at a time, as Migacz's slides have it."""
    statistics = seen(np.clip(getattr(np.random.default_rng(2), draw)(size=5000), -200, 200))
    counts = statistics.counts.astype(float)
    counts[0] = counts[1]
    costs = {}
    for cut in range(QUANTISED, BINS + 1, 8):
        real = [*counts[: cut - 1], counts[cut - 1 :].sum()]
        spread = np.zeros(cut)
        for level in range(QUANTISED):
            first, end = (-(-cut * edge // QUANTISED) for edge in (level, level + 1))
            bins = [b for b in range(first, end) if counts[b]]
            spread[bins] = sum(counts[b] for b in bins) / max(len(bins), 1)
        shares = zip(np.divide(real, sum(real)), spread / spread.sum(), strict=True)
        costs[cut] = sum(p * np.log(p / max(q, 1e-12)) for p, q in shares if p)
    assert statistics.range(by("entropy")).limit == pytest.approx(min(costs, key=costs.get) * statistics.width)


def test_entropy_keeps_a_uniform_distribution():
    statistics = seen(np.random.default_rng(1).uniform(-3, 3, 200_000))
    assert statistics.range(by("entropy")).limit > 0.95 * 3


@pytest.fixture
def measure(quantiser, tmp_path, monkeypatch):
    """What measures the small network, with a cache of its own; the arguments replace the usual ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def measure(inputs=quantiser.inputs, models=quantiser.models, **options):
        options = CalibrationOptions(samples=4, force=True, **options)
        return MeasureRanges(quantiser.config, models, inputs, options)()

    return measure


def test_max_is_the_true_maximum_of_every_convolutions_input(quantiser, measure, bundle_path):
    found = measure(method="max")
    with Chain(quantiser.config, backend("onnxruntime").open(Bundle(bundle_path), "fp32")) as chain:
        inputs = dict(component_inputs(chain, quantiser.inputs))
    for name in ("spatial_encoder", "decoder"):
        model = onnx.load(quantiser.models[name])
        given = {value.name for value in model.graph.input}
        read = sorted({node.input[0] for node in model.graph.node if node.op_type == "Conv"} - given)
        model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in read)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for tensor, array in zip(read, session.run(read, inputs[name]), strict=True):
            expected = (array.min(), array.max(), np.abs(array).max())
            actual = found[name][tensor]
            np.testing.assert_allclose((actual.low, actual.high, actual.limit), expected, rtol=1e-4, atol=1e-5)


def test_every_floating_point_input_has_a_range(quantiser):
    assert {f"fused_{stage}" for stage in range(1, 6)} <= quantiser.ranges["decoder"].keys()
    assert "mask_logits" in quantiser.ranges["decoder"]
    assert "frame" not in quantiser.ranges["spatial_encoder"], "pixels are whole numbers"


def test_samples_are_run_one_at_a_time(quantiser, measure, monkeypatch):
    batches, run = [], ranges_module._Watched.run

    def spy(self, inputs):
        batches.append({len(array) for array in inputs.values()})
        return run(self, inputs)

    monkeypatch.setattr(ranges_module._Watched, "run", spy)
    measure(inputs={name: array[:2] for name, array in quantiser.inputs.items()})
    assert batches == [{1}] * 2 * len(quantiser.models)


def damaged(quantiser, folder, change):
    """The models, with one bias of the decoder changed."""
    model = onnx.load(quantiser.models["decoder"])
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "merge.2.0.bias")
    array = numpy_helper.to_array(bias).copy()
    array[3] = change(array[3])
    bias.CopyFrom(numpy_helper.from_array(array, bias.name))
    onnx.save(model, folder / "decoder.onnx")
    return quantiser.models | {"decoder": folder / "decoder.onnx"}


def test_ranges_are_measured_once_for_the_same_models_samples_and_method(quantiser, measure, tmp_path, monkeypatch):
    first = measure()

    class OpenedError(Exception):
        pass

    def opened(*_):
        raise OpenedError

    monkeypatch.setattr(ranges_module, "_Watched", opened)
    assert measure() == first
    inputs = quantiser.inputs | {CLIP: quantiser.inputs[CLIP] + np.uint8(1)}
    changes = [
        {"inputs": inputs},
        {"models": damaged(quantiser, tmp_path, lambda value: value + 1)},
        {"method": "entropy"},
        {"percentile": 99.0},
    ]
    for change in changes:
        with pytest.raises(OpenedError):
            measure(**change)
    monkeypatch.setattr(ranges_module, "code_fingerprint", lambda *places: f"other {places}")
    with pytest.raises(OpenedError):
        measure()


def test_the_code_that_decides_is_that_of_statistics_graphs_and_preprocessing(quantiser, monkeypatch):
    asked = []
    monkeypatch.setattr(ranges_module, "code_fingerprint", lambda *places: asked.extend(places) or "")
    MeasureRanges(quantiser.config, quantiser.models, quantiser.inputs, quantiser.options).key()
    assert {"calibration", "graph", "runtime.preprocess"} <= set(asked)


def test_ranges_that_cannot_be_kept_are_measured_all_the_same(measure, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert measure()["decoder"]["mask_logits"].size == 64 * 64


def test_a_broken_cache_is_measured_anew(measure, tmp_path):
    first = measure()
    (kept,) = (tmp_path / "cache/cstm/ranges").iterdir()
    kept.write_text("{")
    assert measure() == first


def test_a_model_that_gives_no_numbers_is_refused_by_name(quantiser, measure, tmp_path):
    models = damaged(quantiser, tmp_path, lambda _: np.nan)
    with pytest.raises(CalibrationError, match=r"decoder: conv2d_1 holds values that are no numbers .* sample 0"):
        measure(models=models)
    assert not (tmp_path / "cache").exists()
