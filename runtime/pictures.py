"""Decoded pictures of one video stream, without those that are damaged, and whether all of them came.

A packet that is cut short or that the decoder refuses is lost, and so is what was predicted from it: all up to the next
key picture, where decoding starts anew. Where none follows, the video breaks off. At the end of the file, the time
reached is compared with the one that the container declares; the declared number of frames will not do, as edit lists
hide some of them and recorders count those that they dropped. Damage that the decoder mends within a picture goes
unnoticed, as in players.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from cstm.errors import first_line
from cstm.runtime.frame_times import LEAP

# An end that comes less early is no loss: headers are off by a frame or two.
SLACK_FRAMES, SLACK_SHARE = 2, 0.02
# Recordings are cut and joined anywhere in these.
CUT_ANYWHERE = {"mpegts", "mpeg"}
# Where the parts' count skips, FFmpeg calls the picture before the last one whole corrupt: its parser is one behind.
JOINED_AFTER = 2


# Their decoders make pictures of nothing where the one that they were predicted from is missing.
TRUSTING = {"mpeg4", "h263", "flv", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2"}


class Pictures:
    """Iterates once over a stream's whole pictures (`av.VideoFrame`).

    passed: how many pictures were passed over so far. damage: what was wrong with the latest of them, or None.
    loss: afterwards, why the end is missing, or None.
    """

    def __init__(self, container: InputContainer, stream: VideoStream):
        self.passed = 0
        self.damage: str | None = None
        self.loss: str | None = None
        self._container, self._stream = container, stream
        # Nothing counts before the next key packet; before the next key picture.
        self._packet_due, self._picture_due = False, stream.codec_context.name in TRUSTING
        self._keyless: int | None = 0  # packets before the first key packet, from which no picture came; None: past it
        self._reached = 0.0

    def __iter__(self) -> Iterator[av.VideoFrame]:
        for packet, fault, _ in self._packets():
            if packet is None or fault:
                yield from self._before_loss(packet, fault or "it cannot be read on")
            elif not self._packet_due:
                yield from self._decoded(packet)
            elif packet.is_keyframe:
                self._stream.codec_context.flush_buffers()
                self._packet_due, self._picture_due = False, True
                yield from self._decoded(packet)
            else:
                self._pass_over(packet)
        if self._packet_due or self._picture_due:
            self.loss = self.damage
        else:
            self.loss = shortfall(self._container, self._stream, self._reached)

    def _decoded(self, packet: av.Packet) -> Iterator[av.VideoFrame]:
        try:
            pictures = packet.decode()
        except av.error.FFmpegError as error:
            yield from self._before_loss(packet, reason(error))
            return
        self._reached = max(self._reached, end_of(packet))
        self._count_keyless(packet, pictures)
        yield from self._whole(pictures)

    def _count_keyless(self, packet: av.Packet, pictures: list[av.VideoFrame]) -> None:
        if self._keyless is None:
            return
        if pictures or packet.is_keyframe:
            if self._keyless and packet.is_keyframe:
                self.passed, self.damage = self.passed + self._keyless, "it starts between two key pictures"
            self._keyless = None
        else:
            self._keyless += 1

    def _before_loss(self, packet: av.Packet | None, fault: str) -> Iterator[av.VideoFrame]:
        """The pictures of earlier packets that the decoder still holds."""
        if not self._packet_due:
            yield from self._whole(self._held())
        self.damage, self._packet_due = fault, True
        self._pass_over(packet)

    def _held(self) -> list[av.VideoFrame]:
        flush = av.Packet()
        flush.stream, flush.time_base = self._stream, self._stream.time_base
        try:
            return flush.decode()
        except av.error.FFmpegError:
            return []

    def _whole(self, pictures: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for picture in pictures:
            if picture.is_corrupt:
                self.damage, self._picture_due = "a picture is damaged", True
            if self._picture_due and (picture.is_corrupt or not picture.key_frame):
                self.passed += 1
            else:
                self._picture_due = False
                yield picture

    def _pass_over(self, packet: av.Packet | None) -> None:
        self.passed += packet is not None and packet.size > 0

    def _packets(self) -> Iterator[_Read]:
        """What was read, in the file's order.

        Where recordings may be joined, a mark is a fault of the next packet too. Where a key packet follows that one,
        it is a fault of the next alone; and of none where the clock starts anew with the key packet: they were joined.
        """
        read, ahead = self._read(), deque[_Read]()
        joined = self._container.format.name in CUT_ANYWHERE
        while step := ahead.popleft() if ahead else next(read, None):
            if step.marked and joined:
                while len(ahead) < JOINED_AFTER and (following := next(read, None)):
                    ahead.append(following)
                before_key = len(ahead) == JOINED_AFTER and ahead[1].is_key()
                if ahead and not (before_key and _is_elsewhere(ahead[0].packet, ahead[1].packet)):
                    ahead[0] = ahead[0]._replace(fault=step.fault)
                if before_key:
                    step = step._replace(fault=None)
            yield step

    def _read(self) -> Iterator[_Read]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                yield _Read(None, reason(error), False)
                continue
            if packet is None:
                return
            yield _Read(packet, "its data is cut short" if packet.is_corrupt else None, packet.is_corrupt)


def shortfall(container: InputContainer, stream: VideoStream, reached: float) -> str | None:
    """Why a stream that was read up to `reached` seconds of its clock is not all there, or None."""
    end = _declared_end(container, stream)
    slack = max(SLACK_FRAMES / float(stream.average_rate or 1), SLACK_SHARE * end)
    return f"it should last {end:.1f} s" if end - reached > slack else None


def _declared_end(container: InputContainer, stream: VideoStream) -> float:
    """Seconds at which the stream should end, where the container's word for it is good; else 0."""
    name = container.format.name
    if "mp4" in name:
        return float((stream.duration or 0) * (stream.time_base or 0))
    if "matroska" in name:
        if tag := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):
            hours, minutes, seconds = map(float, tag.groups())
            return hours * 3600 + minutes * 60 + seconds
        return (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0.0
    return float(stream.frames / stream.average_rate) if stream.average_rate else 0.0


def end_of(packet: av.Packet) -> float:
    """Seconds, on the stream's clock, at which what the packet holds ends; 0 where it does not say."""
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


class _Read(NamedTuple):
    """A packet, or None where reading failed, what is wrong with it, or None, and whether FFmpeg marks it corrupt."""

    packet: av.Packet | None
    fault: str | None
    marked: bool

    def is_key(self) -> bool:
        return self.packet is not None and self.packet.is_keyframe


def _is_elsewhere(before: av.Packet | None, key: av.Packet | None) -> bool:
    """Whether a key packet's time is not one that could follow, even after some loss: back, or far ahead."""
    if before is None or key is None or before.dts is None or key.dts is None or key.time_base is None:
        return False
    return not 0 <= float((key.dts - before.dts) * key.time_base) <= LEAP


def reason(error: Exception) -> str:
    """FFmpeg's own words for an error, on one line."""
    return getattr(error, "strerror", None) or first_line(error)
