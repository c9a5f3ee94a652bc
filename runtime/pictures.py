"""Decoded pictures of one video stream, and whether all of them came.

Reading stops at the first damage, a packet that is cut short or that the decoder refuses: what follows was predicted
from pictures that are lost, and its numbers would be wrong. At the end of the file, the time reached is compared with
the one that the container declares; the declared number of frames will not do, as edit lists hide some of them and
recorders count those that they dropped. Damage that the decoder mends within a picture goes unnoticed, as in players.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

import av

# An end that comes less early is no loss: headers are off by a frame or two.
SLACK_FRAMES, SLACK_SHARE = 2, 0.02
# Recorders cut these anywhere: their first packets may lack the picture that they were predicted from.
CUT_ANYWHERE = {"mpegts", "mpeg"}


class Pictures:
    """Iterates once over a stream's pictures (`av.VideoFrame`). loss: afterwards, why some are missing, or None."""

    def __init__(self, container, stream):
        self.loss: str | None = None
        self._container, self._stream = container, stream
        self._begun, self._reached = False, 0.0

    def __iter__(self) -> Iterator[av.VideoFrame]:
        for packet, pictures, damage in self._decoded():
            whole = list(takewhile(_is_whole, pictures))
            self._begun = self._begun or bool(whole)
            yield from whole
            if not self._begun and self._container.format.name in CUT_ANYWHERE:
                continue
            if damage:
                yield from self._before(packet)
            elif len(whole) < len(pictures):
                damage = "a picture is damaged"
            if damage:
                self.loss = damage
                return
        self.loss = self._shortfall()

    def _decoded(self):
        """(packet, its pictures, what is wrong with it or None), in the file's order."""
        packets = self._container.demux(self._stream)
        while True:
            packet, pictures, damage = None, [], None
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.is_corrupt:
                    damage = "its data is cut short"
                else:
                    pictures = packet.decode()
                    self._note(packet)
            except av.error.FFmpegError as error:
                damage = reason(error)
            yield packet, pictures, damage

    def _before(self, packet) -> list[av.VideoFrame]:
        """The pictures that the decoder still holds and that are shown before the damaged packet's."""
        flush = av.Packet()
        flush.stream, flush.time_base = self._stream, self._stream.time_base
        try:
            held = flush.decode()
        except av.error.FFmpegError:
            return []
        limit = None if packet is None else packet.pts
        return [p for p in takewhile(_is_whole, held) if limit is None or p.pts is None or p.pts < limit]

    def _note(self, packet) -> None:
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._reached = max(self._reached, float(end))

    def _shortfall(self) -> str | None:
        end = self._declared_end()
        slack = max(SLACK_FRAMES / float(self._stream.average_rate or 1), SLACK_SHARE * end)
        return f"it should last {end:.1f} s" if end - self._reached > slack else None

    def _declared_end(self) -> float:
        """Seconds at which the stream should end, where the container's word for it is good; else 0."""
        name, stream = self._container.format.name, self._stream
        if "mp4" in name:
            return float((stream.duration or 0) * stream.time_base)
        if "matroska" in name:
            if tag := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):
                hours, minutes, seconds = map(float, tag.groups())
                return hours * 3600 + minutes * 60 + seconds
            return (self._container.duration or 0) / av.time_base if len(self._container.streams) == 1 else 0.0
        return float(stream.frames / stream.average_rate) if stream.average_rate else 0.0


def _is_whole(picture) -> bool:
    return not picture.is_corrupt


def reason(error: Exception) -> str:
    """FFmpeg's own words for an error, on one line."""
    return getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
