"""The search for a plan, on a network whose blocks have known costs and savings."""

import json
import math
from types import SimpleNamespace

import pytest

from cstm.calibration import search as search_module
from cstm.calibration.held_out import Accuracy
from cstm.calibration.samples import CalibrationOptions
from cstm.calibration.search import FORM, SearchPlan
from cstm.errors import RequestError
from cstm.models.config import CSTMConfig
from cstm.models.contract import TEXT_ENCODER, contract
from cstm.runtime import timing
from cstm.runtime.backends.open_model import OPEN_MODEL
from cstm.runtime.tensorrt_library import PACKAGES
from cstm.runtime.timing import session_medians

CONFIG = CSTMConfig.from_preset("tiny", size=64)
SECONDS = 0.1  # of every component in FP32


class FakeSession:
    """A session that only knows which blocks of it are in INT8."""

    def __init__(self, component, path):
        self.name, self.blocks = component.name, tuple(path.read_text().split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class FakeQuantiser:
    """Writes, as a model, the names of the blocks that it quantised."""

    config, options = CONFIG, CalibrationOptions()
    models = component_samples = dict.fromkeys(contract(CONFIG), None)

    def write(self, name, blocks, form, target):
        target.write_text(" ".join(blocks))


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Gives a search. effects: by "component block", the mean IoU that it costs and the seconds that it saves."""

    def make(effects, budget=0.005, backend="onnxruntime", slower_together=(), reported=None):
        reported = [] if reported is None else reported
        effects = {tuple(key.split()): value for key, value in effects.items()}

        def seconds(session):
            if session.name in slower_together and len(session.blocks) > 1:
                return 2 * SECONDS
            return SECONDS - sum(effects[session.name, block][1] for block in session.blocks)

        def measure(chain):
            drop = sum(effects[name, block][0] for name, s in chain.sessions.items() for block in s.blocks)
            return Accuracy(0.5 - drop, drop, drop, drop, 1 - drop, 1 - drop, 10)

        blocks = {name: [b for n, b in effects if n == name] for name, _ in effects}
        monkeypatch.setattr(search_module, "quantisable", lambda models: blocks)
        monkeypatch.setattr(search_module, "session_medians", lambda sessions, inputs: [seconds(s) for s in sessions])
        return SearchPlan(
            FakeQuantiser(), SimpleNamespace(measure=measure), backend, FakeSession, budget, tmp_path, reported.append
        )

    return make


def test_what_is_free_and_faster_is_all_chosen(network):
    reported = []
    effects = {"decoder head": (0, 0.01), "spatial_encoder stage_1": (0, 0.02)}
    search = network(effects, budget=0, reported=reported)
    plan = search()
    assert plan.int8 == {"decoder": ("head",), "spatial_encoder": ("stage_1",)}
    assert [t.label for t in search.trials[:5]] == [
        "fp32",
        *("decoder", "spatial_encoder"),
        *("decoder head", "spatial_encoder stage_1"),
    ]
    assert reported == search.trials and search.trials[0].choice == {}
    # The text encoder runs once a sentence: a frame's time is without it.
    assert search.trials[0].milliseconds == pytest.approx(400)
    assert plan.origin["chosen"]["ms"] == pytest.approx(370)


def test_a_block_that_is_slower_is_left_out(network):
    search = network({"decoder head": (0, 0.01), "spatial_encoder stage_1": (0, -0.01)})
    assert search().int8 == {"decoder": ("head",)}


def test_a_block_that_is_slower_alone_may_go_with_a_component_that_is_faster(network):
    search = network({"decoder head": (0, 0.03), "decoder step_1": (0, -0.01)})
    assert sorted(search().int8["decoder"]) == ["head", "step_1"]


def test_a_component_that_is_slower_as_a_whole_is_left_out(network):
    effects = {"decoder head": (0, 0.01), "decoder step_1": (0, 0.01), "spatial_encoder stage_1": (0, 0.01)}
    assert network(effects, slower_together=["decoder"])().int8 == {"spatial_encoder": ("stage_1",)}


def test_over_budget_the_dearest_block_for_what_it_saves_goes_first(network):
    effects = {
        "decoder head": (0.004, 0.040),  # costs most, saves more than its share
        "decoder step_1": (0.003, 0.001),
        "spatial_encoder stage_1": (0.001, 0.005),
    }
    search = network(effects, budget=0.006)
    plan = search()
    assert plan.int8 == {"decoder": ("head",), "spatial_encoder": ("stage_1",)}
    assert plan.origin["chosen"]["drop"] == pytest.approx(0.005)
    assert network(effects, budget=0.0045)().int8 == {"decoder": ("head",)}
    assert network(effects, budget=0.0001)().int8 == {}


def test_nothing_is_chosen_when_all_is_slower(network):
    search = network({"decoder head": (0, -0.01), "spatial_encoder stage_1": (-0.1, -0.01)})
    plan = search()
    assert plan.int8 == {} and plan.origin["chosen"] == plan.origin["trials"][0]
    assert (plan.origin["chosen"]["label"], plan.origin["chosen"]["int8"]) == ("fp32", {})


def test_a_network_with_nothing_to_quantise_has_an_empty_plan(network):
    assert network({})().int8 == {}


def test_the_plan_says_where_it_comes_from(network):
    origin = network({"decoder head": (0.001, 0.01)}, budget=0.002)().to_dict()["origin"]
    assert (origin["kind"], origin["backend"], origin["budget"], origin["samples"]) == (
        "searched",
        "onnxruntime",
        0.002,
        10,
    )
    assert json.loads(json.dumps(origin)) == origin and origin["calibration"]["samples"] == 64


def test_requests_that_cannot_be_met_are_refused(network):
    with pytest.raises(RequestError, match="no plans for torch; choose from openvino, onnxruntime, tensorrt"):
        network({}, backend="torch")
    for budget in (-0.1, 1.1, math.nan, math.inf):
        with pytest.raises(RequestError, match=rf"the allowed drop of mean IoU is {budget}: it must be from 0 to 1"):
            network({}, budget=budget)


def test_there_is_a_way_to_open_models_for_every_backend_that_plans_are_for():
    assert set(FORM) == {*OPEN_MODEL, *PACKAGES}


def test_every_model_is_written_in_the_backends_form(network, monkeypatch):
    forms, write = set(), FakeQuantiser.write
    monkeypatch.setattr(FakeQuantiser, "write", lambda self, *given: (forms.add(given[2]), write(self, *given)))
    network({"decoder head": (0, 0.01)}, backend="tensorrt_rtx")()
    assert forms == {"tensorrt"}


def test_sessions_take_turns_and_the_median_counts(monkeypatch):
    clock, ran = [0.0], []

    class Session:
        def __init__(self, name, seconds):
            self.name, self.seconds = name, iter(seconds)

        def run(self, inputs):
            ran.append(self.name)
            clock[0] += next(self.seconds)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    slow, fast = Session("slow", [50, 50, 3, 4, 90]), Session("fast", [50, 50, 1, 2, 1])
    assert session_medians([slow, fast], {}, repeats=3) == [4, 1]
    assert ran == ["slow", "fast"] * 5, "the first two turns warm up"


def test_the_text_encoder_is_never_timed(network, monkeypatch):
    search = network({"decoder head": (0, 0.01)})
    timed, time_ = [], search_module.session_medians
    monkeypatch.setattr(
        search_module,
        "session_medians",
        lambda sessions, inputs: timed.append(sessions[0].name) or time_(sessions, inputs),
    )
    search()
    assert set(timed) == set(contract(CONFIG)) - {TEXT_ENCODER}
