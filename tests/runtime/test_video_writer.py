"""How long each frame of a written video is shown."""

import struct
from types import SimpleNamespace

import av
import numpy as np
import pytest

from cstm.errors import VideoError
from cstm.runtime.segment_video import segment_to_files
from cstm.runtime.segmenter import FrameMasks
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter


def image(shade):
    return np.full((48, 64, 3), shade, np.uint8)


def declared(path):
    """The lengths in seconds that the file's headers tell, of the whole and of its track."""
    data = path.read_bytes()
    (scale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24)):
        yield struct.unpack_from(">I", data, data.index(name) + offset)[0] / scale


def shown(path):
    """(time, shade) of each frame, and the length in seconds."""
    with open_video(path) as video:
        frames = [(round(frame.time, 6), round(float(frame.image.mean()))) for frame in video]
    with av.open(str(path)) as container:
        return frames, container.duration / av.time_base


@pytest.mark.parametrize("fps", [10, 12.5, 30_000 / 1001])
def test_frames_follow_each_other(tmp_path, fps):
    with VideoWriter(tmp_path / "out.mp4", (48, 64), fps) as writer:
        for shade in range(0, 240, 20):
            writer.write(image(shade))
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx([i / fps for i in range(12)], abs=1e-3)
    assert length == pytest.approx(12 / fps, abs=2e-3)


@pytest.mark.parametrize(("count", "every"), [(20, 1), (20, 3), (21, 5), (50, 30), (40, 1000), (200, 7)])
def test_each_is_shown_until_the_next_and_the_last_until_the_end(tmp_path, count, every):
    numbers = range(0, count, every)
    with VideoWriter(tmp_path / "out.mp4", (48, 64), 10, every=every) as writer:
        for number in numbers:
            writer.write(image(number))
        writer.end(count)
    frames, length = shown(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == pytest.approx([number / 10 for number in numbers])
    assert [shade for _, shade in frames] == pytest.approx(list(numbers), abs=4)
    assert [length, *declared(tmp_path / "out.mp4")] == pytest.approx([count / 10] * 3)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(tmp_path, fps):
    with pytest.raises(VideoError, match="fps="):
        VideoWriter(tmp_path / "out.mp4", (48, 64), fps)


@pytest.mark.parametrize("every", [1, 2, 7, 19, 20, 1_000_000])
def test_the_overlay_lasts_as_long_as_the_video(tmp_path, every):
    class EveryOther:
        bundle = SimpleNamespace(trained=True)

        def segment(self, video, sentences, every):
            for frame in video:
                if frame.index % every == 0:
                    masks = np.zeros((1, 48, 64), bool)
                    yield FrameMasks(frame.index, frame.time, frame.image, masks, np.zeros(1, np.float32))

    video = open_video([image(10 * i) for i in range(20)], fps=10)
    written = segment_to_files(EveryOther(), video, ["a dog"], every, overlay=tmp_path / "out.mp4")
    frames, length = shown(tmp_path / "out.mp4")
    assert length == pytest.approx(2)
    assert [time for time, _ in frames] == [i / 10 for i in range(0, 20, every)]
    assert written.frames == len(frames)
