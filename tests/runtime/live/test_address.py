"""Addresses of cameras, and what is told of them."""

import pytest

from cstm.errors import VideoError
from cstm.runtime.live.address import live_address

SECRET = "rtsp://anna:geheim@10.0.0.7:554/live?token=abc123&x=1"


@pytest.mark.parametrize("source", ["clip.mp4", "C:/clip.mp4", "a:b.mp4", "folder/", ["frame"], None])
def test_files_and_frames_are_no_addresses(source):
    assert live_address(source) is None


def test_a_webcam_is_a_device():
    address = live_address("webcam:1")
    assert (address.url, address.form) == ("/dev/video1", "v4l2")
    with pytest.raises(VideoError, match="number"):
        live_address("webcam:front")


@pytest.mark.parametrize("source", ["file:///etc/passwd", "concat://a|b", "ftp://host/a", "data://x"])
def test_schemes_that_are_no_live_sources(source):
    with pytest.raises(VideoError, match="no live source"):
        live_address(source)


def test_secrets_are_not_told():
    address = live_address(SECRET)
    assert address.shown == "rtsp://***@10.0.0.7:554/live?***"
    said = address.hide(f"cannot open {SECRET}: anna:geheim, geheim, abc123")
    assert not [secret for secret in ("geheim", "anna", "abc123") if secret in said + repr(address) + address.shown]


def test_an_address_that_cannot_be_taken_apart_is_hidden_whole():
    assert live_address("rtsp://user:secret@[::1/live").shown == "rtsp://…"


@pytest.mark.parametrize("source", ["http://host/a.ts", "rtsp://host/a", "udp://127.0.0.1:5000", "srt://host:1"])
def test_playlists_and_files_are_never_opened(source):
    options = live_address(source).options
    assert not {"hls", "concat", "dash"} & set(options["format_whitelist"].split(","))
    assert "file" not in options["protocol_whitelist"].split(",")
