"""Where a camera is: what users write, what FFmpeg opens, and what may be told of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from cstm.errors import VideoError

# By scheme: what FFmpeg may open on the way, and the containers it may find there. Playlists are none of them: they
# name other files and addresses.
STREAMED = "mpegts,flv,matroska,webm,ogg,mpjpeg,mjpeg,h264,hevc,mov,mp4"
SCHEMES = {
    "webcam": ("file", "v4l2,video4linux2"),
    "rtsp": ("rtsp,rtp,udp,tcp", "rtsp"),
    "rtsps": ("rtsp,rtsps,rtp,srtp,udp,tcp,tls,tls_protocol", "rtsp"),
    "http": ("http,tcp", STREAMED),
    "https": ("https,http,tls,tcp", STREAMED),
    "tcp": ("tcp", STREAMED),
    "udp": ("udp", "mpegts,h264,hevc"),
    "srt": ("srt", STREAMED),
}
SCHEME = re.compile(r"([a-z0-9]+):", re.IGNORECASE)
# The first second tells enough of a stream; FFmpeg would look at five.
LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}
# A packet that arrives late is lost, not the stream.
BY_SCHEME = {"rtsp": {"rtsp_transport": "tcp"}, "udp": {"overrun_nonfatal": "1", "fifo_size": "50000"}}


@dataclass(frozen=True)
class Address:
    """shown: without the user, the password and whatever else may be secret, for logs and messages. url: as FFmpeg has
    it; form: the container's name where FFmpeg cannot find it out. options: FFmpeg's."""

    shown: str
    url: str = field(repr=False)
    form: str | None = None
    options: dict[str, str] = field(default_factory=dict, repr=False)

    def hide(self, text: str) -> str:
        """`text`, such as a library's message, without the address's secrets."""
        secrets = {self.url, *filter(None, _secrets(self.url))}
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, self.shown if secret == self.url else "***")
        return text


def live_address(source: object) -> Address | None:
    """The address that `source` is; None where it names a file, a folder or frames. VideoError where FFmpeg may not
    open such a one."""
    found = SCHEME.match(source) if isinstance(source, str) else None
    if found is None or ("://" not in str(source) and found[1].lower() != "webcam"):
        return None
    scheme, text = found[1].lower(), str(source)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}:0" if name == "webcam" else f"{name}://" for name in SCHEMES)
        raise VideoError(f"{_shown(text)}: {scheme} is no live source; there are {known}")
    protocols, formats = SCHEMES[scheme]
    options = {"protocol_whitelist": protocols, "format_whitelist": formats, **LOW_DELAY, **BY_SCHEME.get(scheme, {})}
    if scheme == "webcam":
        number = text.removeprefix(found[0]).removeprefix("//")
        if not number.isdecimal():
            raise VideoError(f"{text!r}: number the webcam, as in webcam:0 for /dev/video0")
        return Address(text, f"/dev/video{number}", "v4l2", options)
    return Address(_shown(text), text, None, options)


def _shown(url: str) -> str:
    parts = _split(url)
    if parts is None:
        return f"{url.split(':')[0]}://…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}{'?***' if parts.query else ''}"


def _secrets(url: str) -> list[str]:
    parts = _split(url)
    if parts is None:
        return []
    user = parts.netloc.rpartition("@")[0]
    return [user, *user.split(":", 1)[1:], parts.query, *(pair.partition("=")[2] for pair in parts.query.split("&"))]


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
