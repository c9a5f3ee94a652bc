"""A2D Sentences: actors of seven kinds in web videos, masks in a few frames of each, a sentence for each actor."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cstm.data.index import read_all
from cstm.data.sample import ACTIONS, ACTORS, NON_TRIVIAL, TRIVIAL, Reference, Sample
from cstm.data.tables import read_rows, read_sentences, tidy
from cstm.data.window import CENTRED, Clips
from cstm.errors import DatasetError, RequestError
from cstm.models.config import CSTMConfig

SPLITS = {"train": "0", "test": "1"}  # as videoset.csv has them
OFFICIAL_VIDEOS = {"train": 3017, "test": 737}
VIDEOSET = "Release/videoset.csv"
SENTENCES, MISSED, CATEGORIES = "a2d_annotation.txt", "a2d_missed_videos.txt", "A2D_RE_categorization.csv"
ANNOTATIONS = "a2d_annotation_with_instances"


class A2DSentences:
    """The references of the official split "train" or "test" whose video and annotations are under `root`.

    root: holds Release/videoset.csv, Release/clips320H/<video>.mp4 (or a folder of frames of that name there or in
    Release/pngs320H), and, itself or in text_annotations/, a2d_annotation.txt, a2d_annotation_with_instances/ and
    where there are such files a2d_missed_videos.txt and RefVOS's A2D_RE_categorization.csv, the source of `difficulty`.
    size, frames, stride: R and T of the clips, and the frames from one of theirs to the next.
    window: "centred" or "authors" (see `data.window`).
    references: ordered by video, frame and instance; a sentence has none in frames without its instance.
    RequestError for another split or window; DatasetError when files are missing or broken, or no reference is left.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "test",
        size: int = CSTMConfig.size,
        frames: int = CSTMConfig.frames,
        stride: int = CSTMConfig.stride,
        window: str = CENTRED,
    ):
        if split not in SPLITS:
            raise RequestError(f'split="{split}": A2D Sentences has "train" and "test"')
        self.root, self.split = Path(root), split
        self._clips = Clips(size, frames, stride, window)
        self._annotations = _need(self.root, ANNOTATIONS)
        self._videos = {name: path for name in _split_videos(self.root, split) if (path := _video(self.root, name))}
        self.references = self._find_references()
        if not self.references:
            raise DatasetError(f"{root}: no video of the {split} split has its pixels, sentences and annotations here")

    @property
    def sentences_file(self) -> Path:
        """a2d_annotation.txt."""
        return _need(self.root, SENTENCES)

    def check_official_counts(self) -> str:
        """One line that says whether this is the whole official split, by its number of videos, or a part of it."""
        found, official = len({r.video for r in self.references}), OFFICIAL_VIDEOS[self.split]
        counts = f"A2D Sentences {self.split}: {len(self.references):,} references in {found:,} of {official:,} videos"
        return (
            f"{counts}, the official split" if found == official else f"{counts}; not to compare with published figures"
        )

    def load(self, reference: Reference) -> Sample:
        """The sample of one of `references`; mask: bool [H,W] as annotated, of the size of clips320H.

        DatasetError or VideoError when a file is missing or broken.
        """
        if reference.video not in self._videos:
            raise DatasetError(f"{self.root}: holds no video {reference.video} in its {self.split} split")
        video, file = (
            self._videos[reference.video],
            self._annotations / reference.video / f"{reference.frame + 1:05d}.h5",
        )
        mask = _read_mask(file, reference.instance)
        self._clips.check_mask(video, mask, file)
        return Sample(reference, self._clips(video, reference.frame), mask)

    def clip(self, reference: Reference, offset: int) -> np.ndarray:
        """As Dataset.clip."""
        return self._clips(self._videos[reference.video], max(reference.frame + offset, 0))

    def _find_references(self) -> list[Reference]:
        sentences = _read_sentences(self.root)
        files = [f for video in sorted(self._videos.keys() & sentences) for f in _frames(self._annotations / video)]
        place = hashlib.sha256(str(self._annotations.absolute()).encode(errors="surrogateescape")).hexdigest()[:16]
        labels = read_all(f"a2d-{self.split}-{place}", files, _read_labels)
        difficulties = _read_difficulties(self.root)
        references = []
        for file, label_of in zip(files, labels, strict=True):
            video, frame = file.parent.name, int(file.stem) - 1
            for instance, sentence in sentences[video]:
                if instance in label_of:
                    difficulty = difficulties.get((video, instance, sentence))
                    actor, action = actor_and_action(label_of[instance])
                    references.append(Reference(video, frame, sentence, instance, actor, action, difficulty))
        return references


def actor_and_action(label: int) -> tuple[str | None, str | None]:
    """The names in A2D's label, actor * 10 + action, both from 1; None for what it does not name."""
    actor, action = divmod(label, 10)
    return (
        ACTORS[actor - 1] if 1 <= actor <= len(ACTORS) else None,
        ACTIONS[action - 1] if 1 <= action <= len(ACTIONS) else None,
    )


def _find(root: Path, name: str) -> Path | None:
    places = (root / name, root / "text_annotations" / name)
    return next((place for place in places if place.exists()), None)


def _need(root: Path, name: str) -> Path:
    if found := _find(root, name):
        return found
    raise DatasetError(f"{root}: has no {name}, nor has its text_annotations; name the folder of A2D Sentences")


def _video(root: Path, name: str) -> Path | None:
    """The video's file, or its folder of frames."""
    release = root / "Release"
    places = (release / "clips320H" / f"{name}.mp4", release / "pngs320H" / name, release / "clips320H" / name)
    return next((place for place in places if place.exists()), None)


def _split_videos(root: Path, split: str) -> set[str]:
    rows = read_rows(_need(root, VIDEOSET), width=9)
    missed = _find(root, MISSED)
    left_out = {row[0].strip() for row in read_rows(missed, width=1)} if missed else set()
    return {row[0].strip() for row in rows if row[8].strip() == SPLITS[split]} - left_out


def _read_sentences(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Each video's instances, in order, with their sentences."""
    path, sentences = _need(root, SENTENCES), defaultdict(list)
    for video, instance, sentence in read_sentences(path, "video_id", "instance_id", "query"):
        if instance.endswith("(copy)"):  # a slip of the annotators: "1 (copy)"
            continue
        if not instance.isdecimal():
            raise DatasetError(f'{path}: "{instance}" of {video} is no instance number; copy the file again')
        sentences[video].append((str(int(instance)), sentence))
    return {video: sorted(pairs, key=lambda pair: int(pair[0])) for video, pairs in sentences.items()}


def _read_difficulties(root: Path) -> dict[tuple[str, str, str], str]:
    """TRIVIAL or NON_TRIVIAL by (video, instance, sentence); expressions that RefVOS found faulty have neither."""
    path = _find(root, CATEGORIES)
    difficulties = {}
    for video, instance, sentence, kind, *_ in read_rows(path, width=4, delimiter=";") if path else ():
        if kind.startswith(("Trivial", "Non-trivial")):
            difficulty = TRIVIAL if kind.startswith("Trivial") else NON_TRIVIAL
            difficulties[video.strip(), instance.strip(), tidy(sentence)] = difficulty
    return difficulties


def _frames(folder: Path) -> list[Path]:
    """A video's annotated frames, in order; none where the folder is absent."""
    return sorted(f for f in folder.glob("*.h5") if re.fullmatch(r"\d{5}", f.stem))


@contextmanager
def _opened(file: Path) -> Iterator:
    import h5py

    try:
        with h5py.File(file, "r") as annotation:
            yield annotation
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(f"{file}: not an annotation of A2D that can be read ({error}); copy it again") from error


def _read_labels(file: Path) -> dict[str, int]:
    """Each instance's label; of an instance's several entries the first."""
    with _opened(file) as annotation:
        instances, labels = (np.ravel(annotation[key][()]) for key in ("instance", "id"))
        pairs = [(str(int(i)), int(label)) for i, label in zip(instances, labels, strict=True)]
    return dict(reversed(pairs))


def _read_mask(file: Path, instance: str) -> np.ndarray:
    """Bool [H,W]: the union of the instance's entries."""
    with _opened(file) as annotation:
        instances = np.ravel(annotation["instance"][()]).astype(int)
        masks = annotation["reMask"][()]  # [N,W,H], or [W,H] where N is 1
        masks = masks.reshape(-1, *masks.shape[-2:])
        if len(masks) != len(instances):
            raise ValueError(f"{len(masks)} masks of {len(instances)} instances")
    own = masks[instances == int(instance)]
    if not len(own):
        raise DatasetError(f"{file}: holds no instance {instance}; load one of the dataset's references")
    return np.ascontiguousarray(own.any(axis=0).T)
