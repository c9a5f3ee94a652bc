"""Videos whose pictures are predicted from others, in every way in which that makes a part hard to read."""

from fractions import Fraction

import av
import numpy as np

COUNT, SIZE = 60, (48, 64)
UNEVEN = np.cumsum(np.random.default_rng(1).integers(5, 90, COUNT)).tolist()  # milliseconds
OPEN = {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=16:min-keyint=16:scenecut=0"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=16"}


def pictures():
    """Noise that moves: each is predicted from others, and unlike them all."""
    generator = np.random.default_rng(0)
    ground = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for i in range(COUNT):
        picture = np.roll(ground, (i, i // 2), (1, 0))
        picture[10:20, 10:20] = generator.integers(0, 256, (10, 10, 3))
        yield picture


def write_film(path, codec="libx264", stamps=None, container=None, **options):
    """At 25 frames a second, or at `stamps`, in milliseconds; a key picture every sixteenth."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        (stream.height, stream.width), stream.pix_fmt, stream.gop_size = SIZE, "yuv420p", 16
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = (stamps[number], Fraction(1, 1000)) if stamps else (number, Fraction(1, 25))
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def shift(path, target, seconds):
    """The same packets so much earlier: those before 0 are hidden by an edit list."""
    with av.open(str(path)) as film, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                ticks = int(seconds / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                output.mux(packet)
    return target


def spoil(path, target, number):
    """The same, but for one packet, which is junk of the same size."""
    with av.open(str(path)) as film, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(film.streams.video[0])
        for place, packet in enumerate(film.demux(video=0)):
            if packet.size:
                junk = av.Packet(b"\x5a" * packet.size) if place == number else packet
                junk.pts, junk.dts, junk.time_base, junk.stream = packet.pts, packet.dts, packet.time_base, stream
                junk.is_keyframe = packet.is_keyframe
                output.mux(junk)
    return target
