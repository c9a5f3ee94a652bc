"""Where a stream's masks go."""

import json
import threading
from itertools import pairwise

import av
import numpy as np
import pytest

from cstm.errors import CSTMError, VideoError
from cstm.runtime import rle
from cstm.runtime.live.address import live_address
from cstm.runtime.live.camera import Camera, Limits
from cstm.runtime.live.handover import Counts
from cstm.runtime.live.sinks import OverlaySink, lines
from cstm.runtime.live.stream import LiveMasks
from cstm.runtime.video import open_video


def result(index, size=(48, 64), sentences=("the dog",), time=None):
    image = np.full((*size, 3), 100, np.uint8)
    masks = np.zeros((len(sentences), *size), bool)
    masks[:, 8:24, 8:40] = True
    scores = np.full(len(sentences), 0.5, np.float32)
    seconds = index / 25 if time is None else time
    told = {"sentences": sentences, "how": "held", "captured": 1e9, "age": 0.25, "connection": 2, "failed": ()}
    return LiveMasks(index, seconds, image, masks, scores, **told, counts=Counts())


def test_each_line_is_there_at_once_and_a_file_is_added_to(tmp_path):
    place = tmp_path / "masks.jsonl"
    for number in range(2):
        with lines(place) as sink:
            sink.write(result(number))
            written = place.read_text().splitlines()
            assert len(written) == number + 1
    record = json.loads(written[-1])
    assert (record["index"], record["how"], record["age"], record["sentences"]) == (1, "held", 0.25, ["the dog"])
    assert rle.decode(record["masks"][0]).sum() == 16 * 32


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(CSTMError, match="name another"), lines(tmp_path / "no" / "folder.jsonl"):
        pass
    for place in ("udp://nowhere.invalid:9", str(tmp_path / "f" / "x.mp4")):
        (tmp_path / "f").write_text("a file") if not (tmp_path / "f").exists() else None
        with pytest.raises(CSTMError, match="cannot be written"), OverlaySink(place, 25) as sink:
            sink.write(result(0))


def test_an_overlay_in_a_file_keeps_the_times_and_one_size(tmp_path):
    place = tmp_path / "overlay.mp4"
    times = [0.0, 0.04, 0.4, 0.44]
    with OverlaySink(place, 25) as sink:
        for index, time in enumerate(times):
            sink.write(result(index, (48, 64) if index < 2 else (96, 128), time=time))
    with open_video(place) as video:
        found = list(video)
    assert [frame.time for frame in found] == pytest.approx(times, abs=1e-3)
    assert {frame.image.shape for frame in found} == {(48, 64, 3)}
    assert all((frame.image.std(-1) > 5).any() for frame in found)  # the mask's colour, on grey


def test_an_overlay_as_hls_is_played_and_keeps_few_segments(tmp_path):
    place = tmp_path / "live" / "live.m3u8"
    with OverlaySink(place, 5) as sink:
        for index in range(200):
            sink.write(result(index, time=index / 5))
    assert 2 <= len(list(place.parent.glob("*.ts"))) <= 12  # of twenty
    with av.open(str(place)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.colorspace == 1  # BT.709, as it was converted
    assert len(times) > 8 and all(0 < b - a < 0.3 for a, b in pairwise(times))


def test_a_live_overlay_is_a_camera_again(free_port):
    url = f"udp://127.0.0.1:{free_port}"
    camera = Camera(live_address(url), Limits(open=4.0, read=1.0, pause=0.05, give_up=15.0))
    seen, stop = [], threading.Event()

    def show():
        with OverlaySink(url, 25) as sink:
            index = 0
            while not stop.wait(0.02):
                sink.write(result(index))
                index += 1

    shown = threading.Thread(target=show)
    shown.start()
    for frames in camera:
        for frame in frames:
            seen.append(frame.image.shape)
            if len(seen) == 20:
                camera.stop()
    stop.set()
    shown.join()
    assert set(seen) == {(48, 64, 3)}


def test_secrets_of_a_place_are_not_told():
    with pytest.raises(VideoError) as error, OverlaySink("http://anna:geheim@127.0.0.1:9/live", 25) as sink:
        sink.write(result(0))
    assert "geheim" not in str(error.value)
