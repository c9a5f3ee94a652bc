import numpy as np
import pytest
from PIL import Image

from cstm.data import jhmdb
from cstm.data.jhmdb import JHMDBSentences, evenly
from cstm.data.sample import Reference
from cstm.data.tables import read_sentences
from cstm.errors import DatasetError, RequestError, VideoError

scipy_io = pytest.importorskip("scipy.io")
HEIGHT, WIDTH, FRAMES, MASKS, STEP = 24, 32, 20, 18, 12
VIDEOS = {"golf_1": "golf", "Run_2 (x)": "run", "run_3": "run"}


def mask_of(frame):
    """Mask [H,W] of a frame: a part of the body each in 1 and 2, in no way symmetric, elsewhere in every frame."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:4, frame : frame + 9] = 1
    mask[4:10, frame] = 2
    return mask


def write_masks(root, video, masks):
    folder = root / "puppet_mask" / VIDEOS[video] / video
    folder.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(folder / "puppet_mask.mat", {"part_mask": masks}, do_compression=True)
    return folder / "puppet_mask.mat"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "jhmdb"
    for video, action in VIDEOS.items():
        folder = root / "Rename_Images" / action / video
        folder.mkdir(parents=True)
        for index in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), STEP * index, np.uint8)
            Image.fromarray(image).save(folder / f"{index + 1:05d}.png")
        write_masks(root, video, np.stack([mask_of(frame) for frame in range(MASKS)], axis=-1))
    (root / "Rename_Images" / ".DS_Store").touch()
    sentences = "video_id,query\nrun_3,a man, in red , runs\ngolf_1,man golfing\nRun_2 (x),boy runs\nabsent,nobody\n"
    (root / "jhmdb_annotation.txt").write_text(sentences)
    return root


def write_splits(root, run="run_3.avi 1 \ngone.avi 0\n"):
    (root / "splits").mkdir()
    (root / "splits" / "golf_test_split1.txt").write_text("golf_1.avi 2\n")
    (root / "splits" / "golf_test_split2.txt").write_text("golf_1.avi 1\n")
    (root / "splits" / "run_test_split1.txt").write_text(run)


def test_references_are_spread_over_the_frames_that_have_a_mask(tree):
    references = JHMDBSentences(tree, 16).references
    assert [(r.video, r.frame) for r in references[3:6]] == [("golf_1", 3), ("golf_1", 9), ("golf_1", 15)]
    assert references[6] == Reference("run_3", 3, "a man, in red , runs", "0", None, "run", None)
    assert [r.video for r in references] == [video for video in sorted(VIDEOS) for _ in range(3)]


def test_every_frame_that_has_a_mask_can_be_asked_for(tree):
    references = JHMDBSentences(tree, 16, frames_per_video=None).references
    assert [r.frame for r in references if r.video == "golf_1"] == list(range(MASKS))
    write_masks(tree, "golf_1", np.zeros((HEIGHT, WIDTH, FRAMES + 5), np.uint8))  # masks without a frame
    references = JHMDBSentences(tree, 16, frames_per_video=None).references
    assert [r.frame for r in references if r.video == "golf_1"] == list(range(FRAMES))


@pytest.mark.parametrize("window", ["centred", "authors"])
def test_clips_and_masks_belong_together(tree, window):
    dataset = JHMDBSentences(tree, 16, 4, window=window, frames_per_video=None)
    for reference in dataset.references[4:MASKS]:
        sample = dataset.load(reference)
        assert sample.clip.shape == (3, 4, 16, 16) and sample.clip.dtype == np.uint8
        assert round(sample.clip[:, 2].mean() / STEP) == reference.frame
        assert sample.mask.shape == (HEIGHT, WIDTH) and sample.mask.dtype == bool
        np.testing.assert_array_equal(sample.mask, mask_of(reference.frame) > 0)


def test_a_single_mask_comes_without_its_axis(tree):
    write_masks(tree, "golf_1", mask_of(0))
    dataset = JHMDBSentences(tree, 16)
    (reference,) = [r for r in dataset.references if r.video == "golf_1"]
    assert reference.frame == 0
    np.testing.assert_array_equal(dataset.load(reference).mask, mask_of(0) > 0)
    write_masks(tree, "golf_1", mask_of(0).T)
    with pytest.raises(DatasetError, match=r"puppet_mask\.mat: its masks are .*, .*golf_1 is"):
        dataset.load(reference)


def test_splits_are_read_from_their_files(tree):
    with pytest.raises(DatasetError, match='use split="all"'):
        JHMDBSentences(tree, 16, split="test")
    write_splits(tree)
    assert {r.video for r in JHMDBSentences(tree, 16, split="test").references} == {"golf_1"}
    assert {r.video for r in JHMDBSentences(tree, 16, split="train").references} == {"run_3"}
    assert {r.video for r in JHMDBSentences(tree, 16).references} == set(VIDEOS)


def test_a_split_file_of_another_format(tree):
    write_splits(tree, "run_3.avi\n")
    with pytest.raises(DatasetError, match=r'run_test_split1.txt: "run_3.avi" is not'):
        JHMDBSentences(tree, 16, split="test")


def test_a_part_of_the_official_videos_says_so(tree, monkeypatch):
    dataset = JHMDBSentences(tree, 16)
    line = "J-HMDB Sentences: 3 of 928 videos; not to compare with published figures"
    assert dataset.check_official_counts() == line
    monkeypatch.setattr(jhmdb, "OFFICIAL_VIDEOS", 3)
    assert dataset.check_official_counts() == "J-HMDB Sentences: 3 of 3 videos, the official set"


@pytest.mark.parametrize(
    ("options", "message"), [({"split": "val"}, '"val"'), ({"frames_per_video": 0}, "=0"), ({"window": "x"}, '"x"')]
)
def test_requests_that_cannot_be_met(tree, options, message):
    with pytest.raises(RequestError, match=message):
        JHMDBSentences(tree, 16, **options)


def test_files_that_are_missing_or_broken_are_named(tree):
    dataset = JHMDBSentences(tree, 16)
    golf = dataset.references[3]
    with pytest.raises(DatasetError, match="frame 20 has no mask"):
        dataset.load(Reference("golf_1", 19, "man golfing"))
    with pytest.raises(DatasetError, match="no video other"):
        dataset.load(Reference("other", 0, "man golfing"))
    file = tree / "puppet_mask/golf/golf_1/puppet_mask.mat"
    for content in (b"", b"not MATLAB's" * 100, file.read_bytes()[:200]):
        file.write_bytes(content)
        with pytest.raises(DatasetError, match="not a MATLAB file"):
            dataset.load(golf)
    scipy_io.savemat(file, {"other": np.zeros(3)})
    for attempt in (lambda: dataset.load(golf), lambda: JHMDBSentences(tree, 16)):
        with pytest.raises(DatasetError, match="holds no part_mask"):
            attempt()
    (tree / "Rename_Images/run/run_3/00001.png").write_bytes(b"")
    with pytest.raises(VideoError, match="run_3"):
        dataset.load(dataset.references[-1])


@pytest.mark.parametrize("name", ["jhmdb_annotation.txt", "Rename_Images", "puppet_mask"])
def test_a_tree_that_lacks_a_part(tree, name):
    (tree / name).rename(tree / "elsewhere")
    with pytest.raises(DatasetError, match=name):
        JHMDBSentences(tree, 16)


def test_a_tree_without_any_of_the_videos(tree):
    (tree / "jhmdb_annotation.txt").write_text("video_id,query\nabsent,nobody\n")
    with pytest.raises(DatasetError, match="no video of split all"):
        JHMDBSentences(tree, 16)


def test_evenly():
    assert evenly(40, 3) == [6, 20, 33]
    assert evenly(2, 3) == [0, 1] and evenly(3, None) == [0, 1, 2] and evenly(0, 3) == []


def test_the_real_sentences(shared):
    rows = read_sentences(shared / "a2d" / "jhmdb_annotation.txt", "video_id", "query")
    assert len(rows) == 928 == len({video for video, _ in rows}) and all(sentence for _, sentence in rows)
