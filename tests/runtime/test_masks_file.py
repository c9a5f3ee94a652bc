"""The masks' file as it grows."""

import json

import numpy as np
import pytest

from cstm.errors import CSTMError
from cstm.runtime import rle
from cstm.runtime.masks_file import MasksWriter
from cstm.runtime.segmenter import FrameMasks

HEAD = {"size": [4, 6], "fps": 10.0, "sentences": ["a dog"], "trained": True}
IMAGE = np.zeros((4, 6, 3), np.uint8)


def results(count):
    rng = np.random.default_rng(0)
    for index in range(count):
        yield FrameMasks(index, index / 10, IMAGE, rng.random((1, 4, 6)) > 0.5, np.full(1, 0.25, np.float32))


def record(result):
    masks = [rle.encode(mask) for mask in result.masks]
    return {"index": result.index, "time": result.time, "scores": [0.25], "masks": masks}


def write(path, count, head=HEAD):
    with MasksWriter(path, head) as writer:
        for result in results(count):
            writer.write(result)
    return path.read_text()


@pytest.mark.parametrize("head", [HEAD, {}])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_json_is_as_if_written_at_once(tmp_path, count, head):
    expected = head | {"frames": [record(result) for result in results(count)]}
    assert write(tmp_path / "masks.json", count, head) == json.dumps(expected)


@pytest.mark.parametrize("count", [1, 5])
def test_lines_of_json(tmp_path, count):
    head, *frames = map(json.loads, write(tmp_path / "masks.jsonl", count).splitlines())
    assert head == HEAD and frames == [record(result) for result in results(count)]


def test_nothing_is_left_where_it_fails(tmp_path):
    with pytest.raises(CSTMError, match="broken"), MasksWriter(tmp_path / "masks.json", HEAD) as writer:
        writer.write(next(results(1)))
        raise CSTMError("broken")
    assert list(tmp_path.iterdir()) == []


def test_frames_reach_the_disk_as_they_come(tmp_path):
    with MasksWriter(tmp_path / "masks.json", HEAD) as writer:
        for result in results(400):
            writer.write(result)
        (growing,) = tmp_path.iterdir()
        assert growing.name != "masks.json" and growing.stat().st_size > 10_000
