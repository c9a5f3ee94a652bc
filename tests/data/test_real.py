"""Real videos with masks, on two made-up sequences."""

import numpy as np
import pytest

pytest.importorskip("cv2")

import cv2

from cstm.data.open import open_dataset
from cstm.data.real import LEFT_OUT, STEP, RealVideos
from cstm.errors import DatasetError, RequestError
from cstm.models.config import CSTMConfig

FRAMES, ROWS = 12, "sequence,sentence,right\nrex,the dog running,1\nrex,a cat,0\nlucia,the woman walking,1\n"


@pytest.fixture
def root(tmp_path):
    for name in ("rex", "lucia"):
        for number in range(FRAMES):
            image, mask = np.full((24, 32, 3), 10 * number, np.uint8), np.zeros((24, 32), np.uint8)
            mask[number : number + 8, 4:12] = 255
            for kind, suffix, picture in (("frames", "jpg", image), ("masks", "png", mask)):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tmp_path / name / kind / f"{number:05d}.{suffix}"), picture)
    (tmp_path / "sentences.csv").write_text(ROWS)
    return tmp_path


def test_a_sequence_that_is_left_out_is_in_the_test_split_alone(root):
    assert "lucia" in LEFT_OUT
    train, test = (RealVideos(root, split, 32) for split in ("train", "test"))
    assert {r.video for r in train.references} == {"rex"} and len(train.references) == 2 * FRAMES
    assert [r.frame for r in test.references] == list(range(0, FRAMES, STEP))
    assert {r.video for r in RealVideos(root, "test", 32, leave_out=("rex",)).references} == {"rex"}


def test_the_mask_is_of_the_target_frame_and_empty_where_the_sentence_is_wrong(root):
    dataset = RealVideos(root, "train", 32)
    right, wrong = (next(r for r in dataset.references if r.frame == 7 and r.present == p) for p in (True, False))
    sample = dataset.load(right)
    assert sample.clip.shape == (3, 8, 32, 32) and sample.mask.shape == (24, 32)
    assert abs(int(sample.clip[0, 4, 0, 0]) - 70) < 4 and sample.mask[7:15, 4:12].all() and sample.mask.sum() == 64
    assert not dataset.load(wrong).mask.any()


def test_it_is_recognised_by_its_sentences(root):
    assert isinstance(open_dataset(root, "test", CSTMConfig.from_preset("tiny", size=32)), RealVideos)


def test_what_is_not_there_is_said(root):
    with pytest.raises(RequestError, match="train"):
        RealVideos(root, "validation")
    with pytest.raises(DatasetError, match="no sequence of the test split"):
        RealVideos(root, "test", leave_out=())
    (root / "rex" / "masks" / "00003.png").write_bytes(b"")
    dataset = RealVideos(root, "train", 32)
    with pytest.raises(DatasetError, match=r"00003\.png"):
        dataset.load(next(r for r in dataset.references if r.frame == 3))
