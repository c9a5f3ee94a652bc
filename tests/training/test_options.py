"""Options of a run: what is refused, and the learning rate's course."""

from dataclasses import fields
from itertools import pairwise

import pytest

from cstm.errors import RequestError
from cstm.training.options import TrainOptions


@pytest.mark.parametrize("wrong", [{"size": 100}, {"steps": 0}, {"schedule": "none"}, {"ema": 1.0}, {"rate": 0.0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(RequestError, match=next(iter(wrong))):
        TrainOptions(**wrong)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), True, None, "1"])
def test_numbers_are_finite_and_whole_where_they_count(wrong):
    for field in fields(TrainOptions):
        if not isinstance(field.default, str) and (wrong, field.name) != (None, "size"):
            with pytest.raises(RequestError, match=f"{field.name} must be finite"):
                TrainOptions(**{field.name: wrong})


def test_a_whole_number_will_do_for_a_share_and_not_the_other_way_round():
    assert TrainOptions(rate=1, clip=2).rate == 1
    with pytest.raises(RequestError, match="steps must be finite numbers, whole"):
        TrainOptions(steps=2.0)


def test_a_batch_is_shared_out_evenly():
    assert TrainOptions(batch=6, processes=3).batch == 6
    with pytest.raises(RequestError, match="multiple of processes"):
        TrainOptions(batch=6, processes=4)


@pytest.mark.parametrize(
    ("schedule", "done", "share"),
    [
        ("poly", 0.5, 0.5359),  # 0.5 to the power of 0.9
        ("step", 0.59, 1.0),
        ("step", 0.84, 0.1),
        ("step", 0.86, 0.01),
        ("cosine", 0.5, 0.505),  # between the whole and a hundredth
        ("cosine", 0.999, 0.01),
    ],
)
def test_how_far_the_rate_has_fallen(schedule, done, share):
    options = TrainOptions(steps=1000, warmup=0, rate=1.0, schedule=schedule)
    assert options.rate_at(round(1000 * done)) == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("schedule", ["poly", "step", "cosine"])
def test_the_rate_rises_to_its_height_and_falls(schedule):
    options = TrainOptions(steps=1000, warmup=100, rate=1e-2, schedule=schedule)
    rates = [options.rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert all(a <= b for a, b in pairwise(rates[:90]))
    assert 0.85e-2 < max(rates) <= 1e-2
    assert all(a >= b for a, b in pairwise(rates[100:]))
    assert 0 < rates[-1] <= 1.2e-4
