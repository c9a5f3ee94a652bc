"""The whole path's bench, on a small bundle and a short clip."""

import pytest

from cstm import Segmenter
from cstm.bench import path


def test_every_part_is_measured(bundle_path, monkeypatch):
    for name, value in {"WIDTH": 64, "HEIGHT": 48, "FRAMES": 3, "RUNS": 1, "SECONDS": 0.1}.items():
        monkeypatch.setattr(path, name, value)
    monkeypatch.setattr(path, "_frames_a_second", lambda *how: float(how[-2] * 10))
    monkeypatch.setattr(path, "_peak", lambda *how: how[-1].stat().st_size)
    with Segmenter(bundle_path, "onnxruntime") as segmenter:
        cost = path.path_cost(segmenter, rounds=1, threads=3)
    assert cost.network_ms > 0 and cost.masks_ms > 0 and cost.overlay_ms > 0 and cost.draw_ms > 0
    assert cost.further_ms > -cost.network_ms
    assert (cost.one_worker, cost.workers) == (10, 30)
    assert 0 < cost.peak_short < cost.peak_long


@pytest.mark.slow
def test_workers_and_memory_are_measured_in_processes_of_their_own(bundle_path, tmp_path):
    clip = path.write_clip(tmp_path / "clip.mp4", 3)
    assert path._peak(bundle_path, "onnxruntime", "fp32", clip) > 50e6
    assert path._frames_a_second(bundle_path, "onnxruntime", "fp32", 2, 1) > 1
