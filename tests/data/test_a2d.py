import json

import numpy as np
import pytest

from cstm.data import a2d
from cstm.data.a2d import A2DSentences, actor_and_action
from cstm.data.sample import NON_TRIVIAL, TRIVIAL
from cstm.errors import DatasetError, RequestError, VideoError
from cstm.runtime.video_writer import VideoWriter

h5py = pytest.importorskip("h5py")
HEIGHT, WIDTH, FRAMES, STEP = 48, 80, 30, 8

VIDEOSET = """\
aa,11,0:00,0:01,48,80,30,2,0
bb,29,0:00,0:01,48,80,30,2,1
cc,29,0:00,0:01,48,80,30,2,1
missed,11,0:00,0:01,48,80,30,2,1
unlabelled,11,0:00,0:01,48,80,30,0,1
absent,11,0:00,0:01,48,80,30,2,1
"""
SENTENCES = """\
video_id,instance_id,query
aa,0,a man in the training set
cc,0,a dog runs
bb,0, a man, in red, is  walking
bb,1,the ball
bb,2,a cat that is nowhere
bb,1 (copy),the ball again
missed,0,nobody
unlabelled,0,nobody
absent,0,nobody
"""
CATEGORIES = """\
video_id;instance_id;ref_exp;ref_exp_difficulty;ref_exp_information
bb;0;a man, in red, is walking ;Non-trivial;Minimum Information
bb;1;the ball;Trivial (Single Object Category);Minimum Information
cc;0;a dog runs;Incorrect Referring Expression;Not Applicable
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cstm"


def corner(row, column, height=3, width=7):
    """A mask [H,W] that no transposition or mirroring maps to itself."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[row : row + height, column : column + width] = 1
    mask[row + height : row + 2 * height, column] = 1
    return mask


MAN, BALL, LEG = corner(5, 60), corner(30, 10), corner(40, 70, 2, 4)


def write_video(path):
    with VideoWriter(path, (HEIGHT, WIDTH), 25) as writer:
        for index in range(FRAMES):
            writer.write(np.full((HEIGHT, WIDTH, 3), STEP * index, np.uint8))


def write_annotation(folder, number, entries):
    """entries: (instance, label, mask [H,W]). As MATLAB leaves it: transposed, and without an axis of one."""
    folder.mkdir(parents=True, exist_ok=True)
    masks = np.stack([mask.T for _, _, mask in entries])
    with h5py.File(folder / f"{number:05d}.h5", "w") as file:
        file["instance"] = np.array([instance for instance, _, _ in entries], float)
        file["id"] = np.array([[label for _, label, _ in entries]], float)
        file["reMask"] = masks[0] if len(masks) == 1 else masks
        file["reBBox"] = np.zeros((4, len(masks)))


def write_tree(root, texts=""):
    clips, texts = root / "Release" / "clips320H", root / texts
    clips.mkdir(parents=True), texts.mkdir(exist_ok=True)
    (root / "Release" / "videoset.csv").write_text(VIDEOSET)
    (texts / "a2d_annotation.txt").write_text(SENTENCES)
    (texts / "a2d_missed_videos.txt").write_text("missed\n")
    annotations = texts / "a2d_annotation_with_instances"
    for video in ("aa", "bb", "cc", "missed", "unlabelled"):
        write_video(clips / f"{video}.mp4")
    for video in ("aa", "cc", "missed", "absent"):
        write_annotation(annotations / video, 10, [(0, 77, MAN)])
    write_annotation(annotations / "bb", 20, [(0, 18, MAN), (1, 36, BALL), (0, 19, LEG)])
    write_annotation(annotations / "bb", 4, [(1, 36, BALL)])
    (annotations / "bb" / "._00020.h5").write_bytes(b"left by a Mac")
    return root


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "a2d")


def numbers(clip):
    """The frame numbers that the grey levels of a clip tell."""
    return [round(level / STEP) for level in clip.mean(axis=(0, 2, 3))]


def summary(dataset):
    return [(r.video, r.frame, r.instance, r.sentence) for r in dataset.references]


TEST_REFERENCES = [
    ("bb", 3, "1", "the ball"),
    ("bb", 19, "0", "a man, in red, is walking"),
    ("bb", 19, "1", "the ball"),
    ("cc", 9, "0", "a dog runs"),
]


@pytest.mark.parametrize("texts", ["", "text_annotations"])
def test_references_are_the_sentences_whose_instance_is_in_the_frame(tmp_path, texts):
    root = write_tree(tmp_path / "a2d", texts)
    assert summary(A2DSentences(root, "test", 16)) == TEST_REFERENCES
    assert summary(A2DSentences(root, "train", 16)) == [("aa", 9, "0", "a man in the training set")]


def test_actors_actions_and_difficulties(tree):
    dataset = A2DSentences(tree, "test", 16)
    assert [r.difficulty for r in dataset.references] == [None] * 4
    (tree / "A2D_RE_categorization.csv").write_text(CATEGORIES)
    dataset = A2DSentences(tree, "test", 16)
    assert [r.difficulty for r in dataset.references] == [TRIVIAL, NON_TRIVIAL, TRIVIAL, None]
    classes = [(r.actor, r.action) for r in dataset.references]
    assert classes == [("ball", "rolling"), ("adult", "walking"), ("ball", "rolling"), ("dog", "running")]
    assert actor_and_action(43) == ("bird", "eating") and actor_and_action(0) == (None, None)


def test_masks_are_upright_and_repeated_instances_one(tree):
    dataset = A2DSentences(tree, "test", 16)
    alone, man, ball, _ = (dataset.load(reference).mask for reference in dataset.references)
    assert alone.dtype == bool and alone.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(alone, BALL)  # N = 1
    np.testing.assert_array_equal(ball, BALL)
    np.testing.assert_array_equal(man, MAN | LEG)


@pytest.mark.parametrize(
    ("window", "early"), [("centred", [0, 0, 0, 1, 3, 5, 7, 9]), ("authors", [0, 2, 4, 6, 8, 10, 12, 14])]
)
def test_clips_hold_the_windows_frames(tree, window, early):
    dataset = A2DSentences(tree, "test", 16, window=window)
    sample = dataset.load(dataset.references[0])  # file 00004: frame 3 from 0
    assert sample.clip.shape == (3, 8, 16, 16) and sample.clip.dtype == np.uint8
    assert sample.reference is dataset.references[0]
    assert numbers(sample.clip) == early
    assert numbers(dataset.load(dataset.references[1]).clip) == [11, 13, 15, 17, 19, 21, 23, 25]


@pytest.mark.parametrize("place", ["pngs320H", "clips320H"])
def test_videos_may_be_folders_of_frames(tree, place):
    from PIL import Image

    (tree / "Release/clips320H/bb.mp4").unlink()
    folder = tree / "Release" / place / "bb"
    folder.mkdir(parents=True)
    for index in range(FRAMES):
        image = np.full((HEIGHT, WIDTH, 3), STEP * index, np.uint8)
        Image.fromarray(image).save(folder / f"{index + 1:05d}.png")
    dataset = A2DSentences(tree, "test", 16)
    assert summary(dataset) == TEST_REFERENCES
    assert numbers(dataset.load(dataset.references[1]).clip)[4] == 19


def test_a_part_of_the_official_split_says_so(tree, monkeypatch):
    dataset = A2DSentences(tree, "test", 16)
    line = "A2D Sentences test: 4 references in 2 of 737 videos; not to compare with published figures"
    assert dataset.check_official_counts() == line
    monkeypatch.setitem(a2d.OFFICIAL_VIDEOS, "test", 2)
    assert dataset.check_official_counts().endswith("2 of 2 videos, the official split")


def test_annotations_are_read_once_until_they_change(tree, cache, monkeypatch):
    read = []
    labels = a2d._read_labels
    monkeypatch.setattr(a2d, "_read_labels", lambda file: read.append(file.stem) or labels(file))
    A2DSentences(tree, "test", 16)
    assert read == ["00004", "00020", "00010"]
    assert summary(A2DSentences(tree, "test", 16)) == TEST_REFERENCES and len(read) == 3
    (kept,) = cache.iterdir()
    write_annotation(tree / "a2d_annotation_with_instances/cc", 12, [(0, 77, MAN), (1, 11, BALL)])
    assert len(A2DSentences(tree, "test", 16).references) == 5 and len(read) == 7
    for damage in ("{", "[]", json.dumps({"key": ""})):
        kept.write_text(damage)
        assert len(A2DSentences(tree, "test", 16).references) == 5
    assert len(read) == 7 + 3 * 4 and list(cache.iterdir()) == [kept]


def test_a_cache_that_cannot_be_written_is_done_without(tree, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert summary(A2DSentences(tree, "test", 16)) == TEST_REFERENCES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Release/videoset.csv", None, "has no Release/videoset.csv"),
        ("Release/videoset.csv", b"aa,11,0\n", "line 1 has 3 of 9 fields"),
        ("a2d_annotation.txt", None, "has no a2d_annotation.txt"),
        ("a2d_annotation.txt", b"bb,0,a man\n", "does not begin with the line video_id,instance_id,query"),
        ("a2d_annotation.txt", b"", "does not begin with"),
        ("a2d_annotation.txt", b"video_id,instance_id,query\nbb,one,a man\n", '"one" of bb is no instance number'),
        ("a2d_annotation.txt", b"\xff\xfe\x00", "cannot be read"),
        ("a2d_annotation.txt", b"video_id,instance_id,query\n", "no video of the test split"),
        ("a2d_annotation_with_instances/bb/00020.h5", b"", "bb/00020.h5: not an annotation"),
        ("A2D_RE_categorization.csv", b"video_id;instance_id\n", "line 1 has 2 of 4 fields"),
    ],
)
def test_files_that_are_missing_or_broken_are_named(tree, name, content, message):
    (tree / name).unlink(missing_ok=True)
    if content is not None:
        (tree / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        A2DSentences(tree, "test", 16)


def test_annotations_that_contradict_themselves(tree):
    dataset = A2DSentences(tree, "test", 16)
    file = tree / "a2d_annotation_with_instances/cc/00010.h5"
    with h5py.File(file, "r+") as annotation:
        del annotation["reMask"]
        annotation["reMask"] = np.zeros((3, WIDTH, HEIGHT), np.uint8)
    with pytest.raises(DatasetError, match="3 masks of 1 instances"):
        dataset.load(dataset.references[-1])
    with h5py.File(file, "r+") as annotation:
        del annotation["reMask"]
        annotation["reMask"] = MAN  # not transposed
    with pytest.raises(DatasetError, match=r"00010\.h5: its masks are 48x80, .*cc\.mp4 is 80x48"):
        dataset.load(dataset.references[-1])
    with h5py.File(file, "r+") as annotation:
        del annotation["reMask"]
    with pytest.raises(DatasetError, match="00010"):
        dataset.load(dataset.references[-1])
    with h5py.File(file, "r+") as annotation:
        del annotation["id"]
    with pytest.raises(DatasetError, match="00010"):
        A2DSentences(tree, "test", 16)


def test_requests_that_cannot_be_met(tree):
    with pytest.raises(RequestError, match='"val"'):
        A2DSentences(tree, "val", 16)
    with pytest.raises(RequestError, match='"middle"'):
        A2DSentences(tree, "test", 16, window="middle")
    train, test = (A2DSentences(tree, split, 16) for split in ("train", "test"))
    with pytest.raises(DatasetError, match="no video aa in its test split"):
        test.load(train.references[0])
    (tree / "Release/clips320H/cc.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"cc\.mp4"):
        test.load(test.references[-1])


def test_the_real_sentences(shared):
    sentences = a2d._read_sentences(shared / "a2d")
    assert len(sentences) == 3754 and sum(map(len, sentences.values())) == 6655 - 1  # "1 (copy)"
    difficulties = a2d._read_difficulties(shared / "a2d")
    kinds = list(difficulties.values())
    assert (kinds.count(NON_TRIVIAL), kinds.count(TRIVIAL)) == (434, 684)
    assert difficulties.keys() <= {(video, i, s) for video, pairs in sentences.items() for i, s in pairs}
