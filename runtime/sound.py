"""A video file's sound, carried to the overlay that is made of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from cstm.runtime.frame_times import LEAP
from cstm.runtime.pictures import reason

# What players take in an mp4 as it is; all else becomes AAC.
COPIED = {"aac", "mp3", "opus"}
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
USUAL_RATE = 48000
# A stamp so many seconds before the last belongs to another recording, joined to this one.
RESTART = 1.0


class Sound:
    """One sound stream, read once, in step with the frames. Damage ends it, which is logged; it never ends the video.

    container: open on the file; it is closed with the sound. start: seconds, on the file's own clock, of the video's
    first frame.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, start: float):
        self._container, self._stream = container, stream
        self._copied = _can_be_copied(stream)
        self._start = Fraction(start)
        self._made: Iterator[av.Packet] = iter(())
        self._next: av.Packet | None = None

    def join(self, output: OutputContainer) -> None:
        """Add the sound to `output`, before anything is written there."""
        if self._copied:
            target = output.add_stream_from_template(self._stream)
            self._made = self._passed_on(target)
        else:
            rate = self._stream.rate
            target = output.add_stream("aac", rate=rate if rate in AAC_RATES else USUAL_RATE)
            target.layout = "mono" if self._stream.layout.nb_channels == 1 else "stereo"
            self._made = self._as_aac(target)
        self._next = next(self._made, None)

    def until(self, time: float) -> Iterator[av.Packet]:
        """Packets, to be muxed, of what sounds before `time`, in seconds from the video's first frame."""
        while self._next is not None and float(self._next.pts * self._next.time_base) < time:
            yield self._next
            self._next = next(self._made, None)

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _passed_on(self, target: AudioStream) -> Iterator[av.Packet]:
        for packet in self._packets():
            packet.stream = target
            yield packet

    def _as_aac(self, target: AudioStream) -> Iterator[av.Packet]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self._ends(reason(error))
                break
            for frame in frames:
                yield from target.encode(frame)
        yield from target.encode()

    def _packets(self) -> Iterator[av.Packet]:
        """The stream's, on the clock that starts with the video, none of which starts before it."""
        last: Fraction | None = None
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._ends(reason(error))
                return
            if packet is None:
                return
            if packet.pts is None or packet.time_base is None:  # the empty one at the end
                continue
            time = packet.pts * packet.time_base - self._start
            if last is not None and not -RESTART < time - last < LEAP:
                self._ends(f"its clock leaps at {float(last):.1f} s")
                return
            last = time
            if time >= 0:
                packet.pts = packet.dts = round(time / packet.time_base)
                yield packet

    def _ends(self, why: str) -> None:
        logging.getLogger(__name__).warning("%s: the sound ends early: %s", self._container.name, why)


def open_sound(path: Path, start: float, options: dict[str, str]) -> Sound | None:
    """The sound of a video file; None where it has none that can be decoded. start: as Sound has it. options: what
    FFmpeg opens the file with."""
    container = av.open(f"file:{path}", metadata_errors="replace", container_options=options)
    stream = container.streams.best("audio")
    if stream is None or stream.codec_context is None or not stream.rate:
        container.close()
        if stream is not None:
            logging.getLogger(__name__).warning("%s: this PyAV cannot decode its sound; it is left out", path)
        return None
    return Sound(container, stream, start)


def _can_be_copied(stream: AudioStream) -> bool:
    """AAC of broadcasts has its header in each packet, where mp4 wants it once."""
    codec = stream.codec_context.codec.canonical_name
    return codec in COPIED and (codec != "aac" or bool(stream.codec_context.extradata))
