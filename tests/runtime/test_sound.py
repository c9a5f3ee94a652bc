"""The overlay has the video's sound, at the same time."""

import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from cstm.runtime.segment_video import segment_to_files
from cstm.runtime.video import open_video
from cstm.runtime.video_writer import VideoWriter

from .fake_segmenter import Nothing

FPS, SECONDS = 10, 4
ONSET, SILENT_AGAIN = 1.0, 2.5  # seconds, of the tone


def write_film(path, codec="aac", rate=44100, video_from=0.0, sound_from=0.0, layout="stereo"):
    """A film whose frames get brighter and whose sound is a tone between ONSET and SILENT_AGAIN; both on one clock."""
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=FPS)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        film.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream(codec, rate=rate)
        sound.layout = layout
        for number in range(round(video_from * FPS), SECONDS * FPS):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            picture.pts, picture.time_base = 1000 * number // FPS, Fraction(1, 1000)
            container.mux(film.encode(picture))
        time = np.arange(SECONDS * rate) / rate
        tone = 0.4 * np.sin(2 * np.pi * 440 * time) * (time > ONSET) * (time < SILENT_AGAIN)
        for start in range(round(sound_from * rate), len(tone), 960):
            samples = (tone[None, start : start + 960] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(film.encode())
        container.mux(sound.encode())
    return path


def overlaid(source, target, every=1):
    """The film's frames and sound, written as an overlay is."""
    with open_video(source) as video:
        sound = video.open_sound()
        with VideoWriter(target, video.size, video.fps / every, sound=sound) as writer:
            for frame in video:
                if frame.index % every == 0:
                    writer.write(frame.image, frame.time)
            writer.end(video.end)
        if sound:
            sound.close()
    return target


def heard(path):
    """When the tone starts and ends, and when the sound ends, in seconds; and the codec's name."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        parts = [(float(f.time), f.sample_rate, f.to_ndarray().astype(float)) for f in container.decode(stream)]
        name = stream.codec_context.codec.canonical_name
    times = np.concatenate([time + np.arange(part.shape[-1]) / rate for time, rate, part in parts])
    level = np.concatenate([np.abs(part).max(0) for _, _, part in parts])
    loud = times[level > 0.1 * level.max()]
    return loud[0], loud[-1], times[-1], name


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("film.mp4", "aac", "aac"),
        ("film.mkv", "libmp3lame", "mp3"),
        ("film.mkv", "libopus", "opus"),
        ("film.mkv", "pcm_s16le", "aac"),
        ("film.ts", "aac", "aac"),
        ("film.ts", "mp2", "aac"),
    ],
)
def test_the_sound_is_heard_when_it_was(tmp_path, name, codec, kept):
    source = write_film(tmp_path / name, codec, rate=48000 if codec == "libopus" else 44100)
    start, end, whole, found = heard(overlaid(source, tmp_path / "out.mp4"))
    assert (start, end) == pytest.approx((ONSET, SILENT_AGAIN), abs=0.06)
    assert whole == pytest.approx(SECONDS, abs=0.1) and found == kept


@pytest.mark.parametrize("name", ["film.mkv", "film.ts"])
@pytest.mark.parametrize(("video_from", "sound_from"), [(0.5, 0.0), (0.0, 0.5)])
def test_the_one_may_start_before_the_other(tmp_path, name, video_from, sound_from):
    """Time 0 is the first frame: what sounds before it is left out."""
    source = write_film(tmp_path / name, video_from=video_from, sound_from=sound_from)
    start, end, _, _ = heard(overlaid(source, tmp_path / "out.mp4"))
    assert (start, end) == pytest.approx((ONSET - video_from, SILENT_AGAIN - video_from), abs=0.06)


@pytest.mark.parametrize("every", [3, 7])
def test_with_frames_left_out_it_is_heard_at_the_same_time(tmp_path, every):
    source = write_film(tmp_path / "film.mp4")
    start, end, whole, _ = heard(overlaid(source, tmp_path / "out.mp4", every))
    assert (start, end) == pytest.approx((ONSET, SILENT_AGAIN), abs=0.06)
    assert whole == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(("rate", "layout"), [(8000, "mono"), (22050, "5.1"), (176400, "stereo")])
def test_any_rate_and_number_of_channels(tmp_path, rate, layout):
    source = write_film(tmp_path / "film.mkv", "pcm_s16le", rate, layout=layout)
    start, end, _, _ = heard(overlaid(source, tmp_path / "out.mp4"))
    assert (start, end) == pytest.approx((ONSET, SILENT_AGAIN), abs=0.1)


def test_it_ends_with_the_frames(tmp_path):
    source = write_film(tmp_path / "film.mp4")
    with open_video(source) as video:
        sound = video.open_sound()
        with VideoWriter(tmp_path / "out.mp4", video.size, video.fps, sound=sound) as writer:
            for frame, _ in zip(video, range(2 * FPS), strict=False):
                writer.write(frame.image, frame.time)
    sound.close()
    assert heard(tmp_path / "out.mp4")[2] == pytest.approx(2, abs=0.1)


def test_damaged_sound_costs_no_frame(tmp_path, caplog):
    source = write_film(tmp_path / "film.mkv", "pcm_s16le")
    with open_video(source) as video:
        sound = video.open_sound()
        packets = sound._container.demux

        def failing(stream):
            for number, packet in enumerate(packets(stream)):
                if number == 60:
                    raise av.error.InvalidDataError(1, "damaged")
                yield packet

        sound._container = type("Container", (), {"demux": staticmethod(failing), "name": "film", "close": sound.close})
        with (
            caplog.at_level(logging.WARNING),
            VideoWriter(tmp_path / "out.mp4", video.size, FPS, sound=sound) as writer,
        ):
            for frame in video:
                writer.write(frame.image, frame.time)
    assert "film: the sound ends early: damaged" in caplog.text
    assert heard(tmp_path / "out.mp4")[2] == pytest.approx(60 * 960 / 44100, abs=0.1)
    with open_video(tmp_path / "out.mp4") as video:
        assert len(list(video)) == SECONDS * FPS


@pytest.mark.parametrize("wanted", [True, False])
def test_an_overlay_has_it_unless_it_is_not_wanted(tmp_path, wanted):
    source = write_film(tmp_path / "film.mp4")
    segment_to_files(Nothing(), open_video(source), ["a dog"], overlay=tmp_path / "out.mp4", sound=wanted)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == wanted
    if wanted:
        assert heard(tmp_path / "out.mp4")[:2] == pytest.approx((ONSET, SILENT_AGAIN), abs=0.06)


def test_a_silent_film_and_frames_have_none(tmp_path, video_file):
    with open_video(video_file) as video:
        assert video.open_sound() is None
    with open_video([np.zeros((8, 8, 3), np.uint8)]) as video:
        assert video.open_sound() is None
