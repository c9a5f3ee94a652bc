"""Motions say nothing at the target's time, nor a period away."""

import numpy as np
import pytest

from cstm.data.sample import ACTIONS, ACTORS
from cstm.data.sprites.motion import ACTIONS_OF, PERIOD, motion

TIMES = np.arange(-2.0 * PERIOD, 2 * PERIOD + 1)
SEEDS = range(20)


def offsets(action, seed, times):
    return motion(action, np.random.default_rng(seed)).at(np.asarray(times, float))


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_has_moved_at_the_time_of_the_target(action):
    for seed in SEEDS:
        assert {name: float(offset) for name, offset in offsets(action, seed, 0).items()} == dict.fromkeys(
            ("forward", "up", "hop", "angle", "stretch", "gait"), 0.0
        )


@pytest.mark.parametrize("action", ACTIONS)
def test_all_but_the_drift_is_back_after_a_period(action):
    for seed in SEEDS:
        now, later = offsets(action, seed, TIMES), offsets(action, seed, TIMES + PERIOD)
        for name in ("hop", "stretch"):
            np.testing.assert_allclose(later[name], now[name], atol=1e-9)
        turned = (later["angle"] - now["angle"] + 180) % 360 - 180
        np.testing.assert_allclose(turned, 0, atol=1e-9)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_drift_is_steady_and_slow(action):
    for seed in SEEDS:
        moved = offsets(action, seed, TIMES)
        for name in ("forward", "up"):
            np.testing.assert_allclose(moved[name], moved[name][-1] / TIMES[-1] * TIMES, atol=1e-12)
            assert abs(moved[name][-1] / TIMES[-1]) < 0.04


@pytest.mark.parametrize("action", ACTIONS)
def test_whoever_does_something_moves(action):
    for seed in SEEDS:
        moved = offsets(action, seed, TIMES)
        assert any(np.ptp(offset) > 0.02 for offset in moved.values()) == (action != "none")


def test_actions_differ_in_what_moves():
    def signs(action):
        """The signs of hops, nods, turns and stretches, and whether it comes forward or climbs."""
        moved = [offsets(action, seed, TIMES) for seed in SEEDS]
        return tuple(bool(np.median([np.ptp(one[name]) for one in moved]) > 1e-9) for name in moved[0])

    same = {action: signs(action) for action in ACTIONS}
    # Walkers, runners and jumpers all hop forward: how far and how high tells them apart.
    rest = {action: sign for action, sign in same.items() if action not in ("walking", "running", "jumping")}
    assert len(set(rest.values())) == len(rest)
    for seed in SEEDS:
        walk, run, jump = (offsets(action, seed, TIMES) for action in ("walking", "running", "jumping"))
        assert np.ptp(run["forward"]) > 1.5 * np.ptp(walk["forward"])
        assert np.ptp(walk["forward"]) > np.ptp(jump["forward"])
        assert np.ptp(jump["hop"]) > 2 * np.ptp(run["hop"])


def test_there_are_the_43_valid_pairs_of_a2d():
    assert tuple(ACTIONS_OF) == ACTORS
    assert sum(len(set(actions)) for actions in ACTIONS_OF.values()) == 43
    assert {action for actions in ACTIONS_OF.values() for action in actions} == set(ACTIONS)


def test_another_action_is_refused():
    with pytest.raises(ValueError, match="swimming"):
        motion("swimming", np.random.default_rng(0))
