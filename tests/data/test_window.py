import av
import numpy as np
import pytest
from PIL import Image

from cstm.data import window
from cstm.data.window import AUTHORS, CENTRED, Clips, window_indices
from cstm.errors import DatasetError, RequestError, VideoError

STEP = 8  # grey levels between two frames


def write_frames(folder, count, first=1):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(np.full((12, 20, 3), STEP * index, np.uint8)).save(folder / f"{first + index:05d}.png")
    return folder


def numbers(clip):
    """The frame numbers that the grey levels of a clip tell."""
    return [round(level / STEP) for level in clip.mean(axis=(0, 2, 3))]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (20, [12, 14, 16, 18, 20, 22, 24, 26]),
        (8, [0, 2, 4, 6, 8, 10, 12, 14]),
        (5, [0, 2, 4, 6, 8, 10, 12, 14]),  # the target itself is not among them
        (0, [0, 2, 4, 6, 8, 10, 12, 14]),
        (26, [18, 20, 22, 24, 26, 28, 29, 29]),
    ],
)
def test_the_authors_window_starts_eight_frames_before_the_target_or_at_the_start(target, expected):
    assert window_indices(target, 30, 8, 2, AUTHORS) == expected


@pytest.mark.parametrize("target", range(8, 30))
def test_both_windows_agree_from_the_ninth_frame_on(target):
    assert window_indices(target, 30, 8, 2, AUTHORS) == window_indices(target, 30, 8, 2, CENTRED)


@pytest.mark.parametrize("target", range(30))
def test_the_centred_window_has_the_target_in_its_middle(target):
    assert window_indices(target, 30, 8, 2, CENTRED)[4] == target


@pytest.mark.parametrize("options", [{"window": "middle"}, {"frames": 0}, {"stride": 0}, {"size": 0}])
def test_options_that_there_are_not(options):
    with pytest.raises(RequestError):
        Clips(**{"size": 16, **options})


@pytest.mark.parametrize("kind", [CENTRED, AUTHORS])
@pytest.mark.parametrize("target", [0, 3, 15, 29])
def test_a_clip_holds_the_windows_frames(tmp_path, kind, target):
    clip = Clips(16, window=kind)(write_frames(tmp_path / "v", 30), target)
    assert clip.shape == (3, 8, 16, 16) and clip.dtype == np.uint8 and clip.flags.c_contiguous
    assert numbers(clip) == window_indices(target, 30, 8, 2, kind)


@pytest.mark.parametrize(("kind", "start"), [(CENTRED, [0, 0, 2]), (AUTHORS, [0, 3, 6])])
def test_a_clip_has_the_networks_stride(tmp_path, kind, start):
    clips, folder = Clips(16, stride=3, window=kind), write_frames(tmp_path / "v", 30)
    assert numbers(clips(folder, 15)) == [3, 6, 9, 12, 15, 18, 21, 24]
    assert numbers(clips(folder, 8))[:3] == start


def test_a_target_just_past_the_end_is_the_last_frame_and_one_far_past_it_an_error(tmp_path):
    clips, folder = Clips(16), write_frames(tmp_path / "v", 20)
    np.testing.assert_array_equal(clips(folder, 21), clips(folder, 19))
    with pytest.raises(DatasetError, match="ends after frame 20, but frame 31 is annotated"):
        clips(folder, 30)


def test_a_video_that_breaks_off_gives_the_clips_before_the_break(tmp_path):
    folder = write_frames(tmp_path / "v", 20)
    (folder / "00015.png").write_bytes(b"no image")
    clips = Clips(16)
    assert numbers(clips(folder, 7)) == [0, 1, 3, 5, 7, 9, 11, 13]
    for _ in range(2):
        with pytest.raises(VideoError, match="00015"):
            clips(folder, 9)


def test_a_video_whose_numbers_are_no_longer_those_of_its_annotations_is_refused(tmp_path):
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuvj420p"
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((24, 32, 3), STEP * number, np.uint8), format="rgb24")
            for packet in stream.encode(picture):
                if number == 9:
                    packet.update(b"\0" * packet.size)
                output.mux(packet)
        output.mux(stream.encode())
    with pytest.raises(DatasetError, match="passed over a damaged picture"):
        Clips(16)(path, 15)


@pytest.mark.parametrize("change", ["gap", "late start"])
def test_frames_that_are_missing_from_a_folder_are_found(tmp_path, change):
    folder = write_frames(tmp_path / "v", 10, first=2 if change == "late start" else 1)
    if change == "gap":
        (folder / "00005.png").unlink()
    with pytest.raises(DatasetError, match="without a gap"):
        Clips(16)(folder, 3)


def test_folders_may_count_from_0(tmp_path):
    assert numbers(Clips(16, frames=2)(write_frames(tmp_path / "v", 10, first=0), 3)) == [1, 3]


def test_a_video_is_decoded_once_while_memory_lasts(tmp_path, monkeypatch):
    decoded = []
    opened = window.open_video
    monkeypatch.setattr(window, "open_video", lambda path: decoded.append(path.name) or opened(path))
    a, b, c = (write_frames(tmp_path / name, 10) for name in "abc")
    monkeypatch.setattr(window, "MEMORY", 2 * 10 * 16 * 16 * 3)  # two of them
    clips = Clips(16)
    for folder in (a, a, b, a, c, a, c, b):
        clips(folder, 5)
    assert decoded == ["a", "b", "c", "b"]  # c put b out, the one not used for longest
    monkeypatch.setattr(window, "MEMORY", 0)
    clips(a, 5), clips(a, 6), clips(b, 5), clips(a, 5)
    assert decoded[4:] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("shape", "fits"), [((24, 32), True), ((32, 24), False), ((24, 40), False), ((320, 426), True)]
)
def test_masks_of_another_shape_than_the_video_are_refused(tmp_path, shape, fits):
    folder = tmp_path / "v"
    folder.mkdir()
    for number in (1, 2):
        Image.new("RGB", (32, 24)).save(folder / f"{number:05d}.png")
    clips, mask = Clips(16), np.zeros(shape, bool)
    if fits:
        clips.check_mask(folder, mask, tmp_path / "m.h5")
    else:
        with pytest.raises(DatasetError, match=r"m\.h5: its masks are .*, .*v is 32x24"):
            clips.check_mask(folder, mask, tmp_path / "m.h5")
