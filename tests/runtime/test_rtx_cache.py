"""What TensorRT-RTX compiles at run time is kept, and taken again by the next process."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from cstm.runtime.rtx_cache import RuntimeCache

from .fake_tensorrt import FakeEngine, FakeSettings

TRT = SimpleNamespace(
    ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"),
    DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"),
)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeSettings, "taken", [])
    return lambda path=tmp_path / "rtx" / "engine.cache": RuntimeCache(TRT, FakeEngine({}), path)


def test_the_next_start_takes_what_this_one_has_left(opened, tmp_path):
    cache = opened()
    assert not FakeSettings.taken
    cache.keep()
    assert (tmp_path / "rtx" / "engine.cache").read_bytes() == b"kernels"
    again = opened()
    assert FakeSettings.taken == [b"kernels"]
    assert again.settings.cache is not None
    assert (again.settings.strategy, again.settings.dynamic_shapes_kernel_specialization_strategy) == ("ours", "eager")


def test_what_is_as_it_was_is_not_written_again(opened, tmp_path, monkeypatch):
    opened().keep()
    file = tmp_path / "rtx" / "engine.cache"
    file.write_bytes(b"kernels")
    before = file.stat().st_ino
    cache = opened()
    cache.keep()
    assert file.stat().st_ino == before
    monkeypatch.setattr(FakeSettings, "compiled", b"more kernels")
    cache.keep()
    assert file.read_bytes() == b"more kernels"


def test_a_cache_of_another_gpu_is_said_to_be_and_made_anew(opened, tmp_path, monkeypatch, caplog):
    opened().keep()
    refusing = SimpleNamespace(serialize=lambda: b"made here", deserialize=lambda blob: False)
    monkeypatch.setattr(FakeSettings, "create_runtime_cache", lambda self: refusing)
    with caplog.at_level(logging.INFO):
        opened().keep()
    assert "compiling anew" in caplog.text
    assert (tmp_path / "rtx" / "engine.cache").read_bytes() == b"made here"


def test_a_place_that_cannot_be_written_to_ends_nothing(opened, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.INFO):
        opened(tmp_path / "file" / "engine.cache").keep()
    assert "not kept" in caplog.text
    opened(None).keep()
