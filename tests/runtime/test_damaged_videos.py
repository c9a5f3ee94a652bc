"""Damage is passed over up to the next key picture, and said; what is shown is right."""

import logging

import av
import numpy as np
import pytest

from cstm.errors import VideoError
from cstm.runtime.video import open_video

from .conftest import write_video

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
PARTS = 188  # bytes of a transport stream's part


def film(path, codec="libx264", pix_fmt="yuv420p", lose=(), spoil=(), keep=0.0, all_keys=False, **options):
    """40 frames at 10 a second, a key picture every eighth; packets are left out, or filled with junk but for a share.

    all_keys: every packet is called a key packet, as writers do that keep no list of them.
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, pix_fmt, 8
        packets = []
        for number, image in enumerate(NOISE):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, 1 / stream.average_rate
            packets += stream.encode(frame)
        packets += stream.encode()
        for number, packet in enumerate(packets):
            if number in spoil:
                kept = bytes(packet)[: int(keep * packet.size)]
                junk = av.Packet(kept.ljust(packet.size, b"\x5a"))
                junk.stream, junk.time_base, junk.pts, junk.dts = stream, packet.time_base, packet.pts, packet.dts
                junk.is_keyframe = packet.is_keyframe
                packet = junk
            packet.is_keyframe = packet.is_keyframe or all_keys
            if number not in lose:
                output.mux(packet)
    return path


def read(path):
    with open_video(path) as video:
        return list(video), video.notes


def test_of_a_whole_video_nothing_is_said(tmp_path, caplog):
    frames, notes = read(film(tmp_path / "whole.mp4"))
    assert (len(frames), notes, caplog.records) == (40, [], [])


@pytest.mark.parametrize("count", [1, 3])
def test_single_bad_pictures_are_passed_over_and_said(tmp_path, caplog, count):
    spoil = [10, 20, 25][:count]
    right, _ = read(film(tmp_path / "right.avi", "mjpeg", "yuvj420p"))
    with caplog.at_level(logging.WARNING):
        frames, notes = read(film(tmp_path / "spoilt.avi", "mjpeg", "yuvj420p", spoil=spoil))
    expected = [frame for frame in right if frame.index not in spoil]
    assert [frame.time for frame in frames] == [frame.time for frame in expected]
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.image, other.image)
    (note,) = notes
    assert ("a damaged picture" if count == 1 else "3 damaged pictures") in note and "from 0.9 s on" in note
    assert [record.message for record in caplog.records] == notes


def test_what_was_predicted_from_a_bad_picture_is_not_shown(tmp_path):
    right, _ = read(film(tmp_path / "right.webm", "libvpx"))
    frames, notes = read(film(tmp_path / "spoilt.webm", "libvpx", spoil=[19]))
    missing = {frame.index for frame in right} - {round(10 * frame.time) for frame in frames}
    assert missing and min(missing) == 19 and max(missing) < 28
    for frame in frames:
        np.testing.assert_array_equal(frame.image, right[round(10 * frame.time)].image)
    assert f"{len(missing)} damaged pictures" in notes[0]


@pytest.mark.parametrize(("codec", "keep"), [("mpeg4", 0.0), ("mpeg4", 0.5), ("mpeg2video", 0.5)])
@pytest.mark.parametrize("all_keys", [True, False])
def test_pictures_that_the_decoder_mends_are_not_shown(tmp_path, codec, keep, all_keys):
    right = [frame.image for frame in read(film(tmp_path / "right.mkv", codec))[0]]
    path = film(tmp_path / "spoilt.mkv", codec, spoil=[19], keep=keep, all_keys=all_keys)
    frames, notes = read(path)
    missing = set(range(40)) - {round(10 * frame.time) for frame in frames}
    assert 19 in missing and max(missing) < 28
    for frame in frames:
        np.testing.assert_array_equal(frame.image, right[round(10 * frame.time)])
    assert "damaged picture" in notes[0]


@pytest.mark.parametrize(
    ("name", "codec", "how"),
    [
        ("a.webm", "libvpx", "lose"),
        ("a.webm", "libvpx", "spoil"),
        ("a.avi", "mpeg4", "spoil"),
        ("a.mkv", "libx264", "lose"),
        ("a.ts", "libx264", "lose"),
    ],
)
def test_a_video_that_starts_in_the_middle(tmp_path, name, codec, how):
    right, _ = read(film(tmp_path / name, codec))
    frames, notes = read(film(tmp_path / name, codec, **{how: range(3)}))
    assert 40 - 10 <= len(frames) < 40 and (frames[0].index, frames[0].time) == (0, 0)
    for frame, other in zip(frames, right[-len(frames) :], strict=True):
        np.testing.assert_array_equal(frame.image, other.image)
    assert "at its start" in notes[0]


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.flv", "flv")])
def test_pictures_made_of_nothing_are_not_shown(tmp_path, name, codec):
    path = tmp_path / name
    still = write_video(tmp_path / f"still-{name}", 12, codec=codec, g="6", sc_threshold="1000000000")
    with av.open(str(still)) as whole, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.size and number:  # the first key picture is lost
                packet.stream = stream
                output.mux(packet)
    frames, notes = read(path)
    assert [round(float(frame.image.mean()) / 20) for frame in frames] == [6, 7, 8, 9, 10, 11]
    assert "5 damaged pictures" in notes[0]


def test_a_video_whose_last_picture_is_bad_breaks_off(tmp_path):
    with open_video(film(tmp_path / "a.avi", "mjpeg", "yuvj420p", spoil=[39])) as video:
        frames = []
        with pytest.raises(VideoError, match="breaks off after frame 39 of 40"):
            frames.extend(video)
    assert len(frames) == 39


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("copies", [2, 3])
def test_joined_recordings_are_read_whole(tmp_path, codec, copies):
    path = film(tmp_path / "a.ts", codec)
    once, _ = read(path)
    path.write_bytes(path.read_bytes() * copies)
    frames, notes = read(path)
    assert (len(frames), notes) == (40 * copies, [])
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(40 * copies)])
    np.testing.assert_array_equal(frames[40 + 7].image, once[7].image)


@pytest.mark.parametrize(("codec", "slices"), [("libx264", "1"), ("libx264", "4"), ("mpeg2video", "1")])
def test_of_lost_parts_of_a_recording_no_wrong_picture_is_shown(tmp_path, codec, slices):
    path = film(tmp_path / "a.ts", codec, slices=slices)
    data, shown, said = path.read_bytes(), [], []
    right = {frame.image.tobytes() for frame in read(path)[0]}
    count = len(data) // PARTS
    for place in range(count // 4, count // 2, count // 32):
        path.write_bytes(data[: place * PARTS] + data[(place + 1) * PARTS :])
        frames, notes = read(path)
        assert {frame.image.tobytes() for frame in frames} <= right
        shown.append(len(frames))
        said.append(len(notes))
    assert min(shown) >= 30 and np.mean(said) > 0.5  # a lost part may have held no picture


def test_a_loss_before_a_key_picture_costs_that_picture_alone(tmp_path):
    path = film(tmp_path / "a.ts", slices="4")
    with av.open(str(path)) as container:
        places = [(packet.is_keyframe, packet.pos) for packet in container.demux(video=0) if packet.size]
    data, key = path.read_bytes(), next(i for i, (is_key, _) in enumerate(places) if is_key and i > 5)
    middle = (places[key - 1][1] + places[key][1]) // 2 // PARTS * PARTS
    path.write_bytes(data[:middle] + data[middle + PARTS :])
    frames, notes = read(path)
    assert len(frames) == 39 and key - 1 not in {round(10 * frame.time) for frame in frames}
    assert "a damaged picture" in notes[0]


def test_a_long_recording_joined_to_a_short_one_keeps_its_pace(tmp_path):
    short = write_video(tmp_path / "short.ts", 12)
    long = write_video(tmp_path / "long.ts", 40)
    short.write_bytes(short.read_bytes() + long.read_bytes())
    frames, _ = read(short)
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(52)])


def test_a_short_end_that_is_missing_is_said(tmp_path):
    """Cut between two packets, where nothing is wrong with what is left."""
    path = write_video(tmp_path / "cut.mp4", count=80, container={"movflags": "faststart"})
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[72]])
    with open_video(path) as video, pytest.raises(VideoError, match=r"breaks off after frame 72 of 80.*last 8\.0 s"):
        list(video)
