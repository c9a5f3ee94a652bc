"""What a precision costs: figures of hand-made masks, and the check that ends a build."""

from pathlib import Path

import numpy as np
import pytest

from cstm.calibration import accuracy as accuracy_module
from cstm.calibration.accuracy import MaskAccuracy
from cstm.calibration.held_out import HELD_OUT_SEED, Accuracy, HeldOut, compare
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.samples import CalibrationOptions
from cstm.errors import ParityError, RequestError
from cstm.export.builder import BuildOptions
from cstm.export.sources import Source
from cstm.models.contract import CLIP, MASK_LOGITS, contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain


def strips(*widths):
    """Masks 10 rows high whose first columns are in."""
    return np.stack([np.tile(np.arange(20) < width, (10, 1)) for width in widths])


def test_drop_and_agreement_of_known_masks():
    found = compare(strips(5, 10, 10), reference=strips(10, 10, 10), truths=strips(10, 10, 20))
    assert found.mean_iou == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found.drop == pytest.approx(0.5 / 3)
    assert (found.agreement, found.lowest) == (pytest.approx(2.5 / 3), 0.5)
    assert found.samples == 3 and found.drop_low == 0 and found.drop_high == pytest.approx(0.5)


def test_the_interval_holds_the_drop_and_narrows_with_samples():
    rng = np.random.default_rng(0)
    few, many = (compare(strips(*rng.integers(5, 15, n)), strips(*[10] * n), strips(*[12] * n)) for n in (8, 200))
    for found in (few, many):
        assert found.drop_low < found.drop < found.drop_high
    assert many.drop_high - many.drop_low < 0.5 * (few.drop_high - few.drop_low)


def test_better_than_fp32_is_a_negative_drop():
    assert compare(strips(10), strips(5), strips(10)).drop == -0.5


def test_two_empty_masks_agree():
    found = compare(strips(0), strips(0), strips(0))
    assert (found.mean_iou, found.drop, found.agreement, found.lowest) == (1, 0, 1, 1)
    assert compare(strips(0), strips(0), strips(3)).mean_iou == 0


class Stub:
    """A chain whose logits are given."""

    def __init__(self, logits):
        self.logits = iter(logits)

    def __call__(self, inputs):
        assert len(inputs[CLIP]) == 1, "one sample at a time"
        return next(self.logits)[None, None]


def test_held_out_samples_are_judged_against_their_truth_and_the_first_chain(quantiser):
    options = CalibrationOptions(samples=3, seed=HELD_OUT_SEED, force=True)
    held_out = HeldOut(options, quantiser.config, quantiser.reader)
    assert held_out.truths.any((1, 2)).all() and not held_out.truths.all((1, 2)).any()
    right = np.where(held_out.truths, 5.0, -5.0).astype(np.float32)
    perfect = held_out.measure(Stub(right))
    assert (perfect.mean_iou, perfect.drop, perfect.agreement) == (1, 0, 1)
    inverted = held_out.measure(Stub(-right))
    assert (inverted.mean_iou, inverted.drop, inverted.agreement) == (0, 1, 0)


class Costs:
    """In place of HeldOut: drops by the order in which chains are measured."""

    def __init__(self, *drops):
        self.drops, self.made = iter(drops), []

    def __call__(self, options, config, reader):
        self.made.append(options)
        return self

    def measure(self, chain):
        assert set(chain.sessions) == set(contract(chain.config))
        drop = next(self.drops)
        return Accuracy(0.5 - drop, drop, drop, drop, 1, 1, 192)


def check(quantiser, kind, max_drop, plan=None, precision="int8"):
    models = {"fp32": quantiser.models, precision: quantiser.models}
    judge = MaskAccuracy(quantiser.config, {"kind": kind}, quantiser.reader, "sprites")
    return judge(models, max_drop, lambda: (quantiser, plan))


def test_int8_over_its_budget_fails_naming_the_worst_block(quantiser, monkeypatch):
    costs = Costs(0, 0.1, 0.02, 0.07, 0.01)
    monkeypatch.setattr(accuracy_module, "HeldOut", costs)
    plan = PrecisionPlan({"decoder": ("step_4", "head"), "spatial_encoder": ("stage_5",)})
    said = (
        r"int8 costs 0\.1000 mean IoU on 192 held-out clips, allowed is 0\.005; the worst block is decoder head \(0\.07"
    )
    with pytest.raises(ParityError, match=said + ".* cstm plan"):
        check(quantiser, "trained", None, plan)
    assert [(o.samples, o.seed) for o in costs.made] == [(192, HELD_OUT_SEED)]


def test_the_budget_is_the_precisions_own_or_the_one_given(quantiser, monkeypatch):
    for precision, drop, max_drop, fails in (
        ("fp16", 0.002, None, True),
        ("fp16", 0.002, 0.003, False),
        ("int8", 0.002, None, False),
        ("fp16", 0.0005, 0.0001, True),
    ):
        monkeypatch.setattr(accuracy_module, "HeldOut", Costs(0, drop, drop))
        plan = PrecisionPlan({"decoder": ("head",)})
        if fails:
            with pytest.raises(ParityError, match=f"{precision} costs"):
                check(quantiser, "trained", max_drop, plan, precision)
        else:
            rows = check(quantiser, "trained", max_drop, plan, precision)
            assert [(row["precision"], row["drop"]) for row in rows] == [("fp32", 0), (precision, drop)]


@pytest.mark.parametrize("budget", [np.nan, np.inf, -0.001, 1.5])
def test_a_budget_that_is_no_share_is_refused_before_anything_is_measured(budget, quantiser, monkeypatch):
    monkeypatch.setattr(accuracy_module, "HeldOut", lambda *_: pytest.fail("measured"))
    with pytest.raises(RequestError, match="must be from 0 to 1"):
        check(quantiser, "trained", budget)
    with pytest.raises(RequestError, match="must be from 0 to 1"):
        BuildOptions(Source(), Path("out"), max_drop=budget)


def test_an_untrained_network_has_nothing_to_lose(quantiser, monkeypatch):
    costs = Costs(0, 0.9)
    monkeypatch.setattr(accuracy_module, "HeldOut", costs)
    assert [row["drop"] for row in check(quantiser, "seeded", None)] == [0, 0.9]
    assert costs.made[0].samples == 8


def test_a_chain_is_measured_as_it_is(quantiser):
    options = CalibrationOptions(samples=2, seed=HELD_OUT_SEED, force=True)
    held_out = HeldOut(options, quantiser.config, quantiser.reader)
    components = contract(quantiser.config)
    with Chain(
        quantiser.config, {n: OnnxRuntimeSession(c, quantiser.models[n]) for n, c in components.items()}
    ) as chain:
        first = held_out.measure(chain)
        chain.sessions["decoder"] = Negated(chain.sessions["decoder"])
        second = held_out.measure(chain)
    assert (first.drop, first.agreement) == (0, 1)
    assert second.agreement < 0.7 and second.mean_iou == pytest.approx(first.mean_iou - second.drop)


class Negated:
    def __init__(self, session):
        self.session, self.close = session, session.close

    def enqueue(self, inputs):
        return {MASK_LOGITS: -self.session.run(inputs)[MASK_LOGITS]}
