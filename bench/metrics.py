"""From what each sample came to, to the figures that the literature reports.

Two protocols, which differ in how a probability becomes a mask (`bench.evaluate`), in P@K and in mAP:

    "authors" (Hui et al., CVPR 2021): P@K is the share of samples with IoU >= K; mAP the mean of P@0.50:0.05:0.95.
    "mttr" (Botach et al., CVPR 2022, and most since): P@K is the share with IoU > K; mAP is COCO's, by pycocotools:
    one category, one truth a sample, all areas, detections ranked by score.

The rest is common. Overall IoU is the sum of intersections over the sum of unions, mean IoU the mean over samples, and
VP@K the share of videos whose annotated samples all have IoU > K. A sample whose predicted and true mask are both empty
has IoU 1, as in both protocols' code, which adds the same small number to intersection and union; an empty prediction
of something that is there has IoU 0. COCO's mAP alone counts an empty truth as missed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cstm.calibration.bootstrap import drawn_counts, interval
from cstm.data.sample import NON_TRIVIAL, Reference
from cstm.errors import ContractError, MissingDependencyError, RequestError
from cstm.packages import installed_version
from cstm.runtime.overlap import overlap
from cstm.runtime.rle import encode

if TYPE_CHECKING:
    from pycocotools.coco import COCO

AUTHORS, MTTR = "authors", "mttr"
REACHES = {AUTHORS: np.greater_equal, MTTR: np.greater}
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
NAMES = ("mean_iou", "overall_iou", "map", *(f"{kind}@{level}" for kind in ("p", "vp") for level in LEVELS))
PRESENT = 0.5  # the score from which on an actor is said to be there
MOST_LISTED = 30  # videos that are listed one by one
AP_LEVELS = np.arange(50, 100, 5) / 100


@dataclass(frozen=True)
class Outcome:
    """What one sample came to.

    intersection, union: pixels. score: the predicted mask's highest probability. predicted, truth: the two masks as
    COCO run lengths, {"size": [H, W], "counts": str}.
    """

    reference: Reference
    intersection: int
    union: int
    score: float
    predicted: dict
    truth: dict

    @classmethod
    def of(cls, reference: Reference, predicted: np.ndarray, truth: np.ndarray, score: float) -> Outcome:
        """The outcome of two masks, bool [H,W]. ContractError when their sizes differ."""
        if predicted.shape != truth.shape:
            raise ContractError(f"{reference.video}: masks of {predicted.shape} and {truth.shape}; they must agree")
        intersection, union = overlap(predicted, truth)
        return cls(reference, int(intersection), int(union), float(score), encode(predicted), encode(truth))

    @property
    def iou(self) -> float:
        """Intersection over union; 1 when both masks are empty."""
        return self.intersection / self.union if self.union else 1.0


def check_protocol(protocol: str) -> None:
    """RequestError on another protocol, MissingDependencyError when it needs a package that is not installed."""
    if protocol not in REACHES:
        raise RequestError(f"no protocol {protocol!r}; choose from {', '.join(REACHES)}")
    if protocol == MTTR and installed_version("pycocotools") is None:
        raise MissingDependencyError(f"protocol {MTTR}: its mAP needs pycocotools; pip install pycocotools")


def summarise(outcomes: list[Outcome], protocol: str) -> dict:
    """The figures of all samples, and, with the same names, of parts of them.

    Those of `figures`; non_trivial: the figures of the samples of that difficulty; per_actor, per_action and, where
    videos are few and their actors of no class, per_video: figures by name; ci: `intervals`; protocol. Samples whose
    sentence is of nobody in the clip are in `presence` alone. RequestError when there is no sample; errors as in
    `check_protocol`.
    """
    check_protocol(protocol)
    everything, outcomes = outcomes, [o for o in outcomes if o.reference.present]
    if not outcomes:
        raise RequestError("no sample to evaluate: the split is empty")
    few = len({o.reference.video for o in outcomes}) <= MOST_LISTED
    return figures(outcomes, protocol) | {
        "non_trivial": figures([o for o in outcomes if o.reference.difficulty == NON_TRIVIAL], protocol),
        "ci": intervals(outcomes, protocol),
        "protocol": protocol,
        "per_actor": _by(outcomes, lambda reference: reference.actor, protocol),
        "per_action": _by(outcomes, lambda reference: reference.action, protocol),
        "per_video": _by(outcomes, lambda r: None if r.actor else r.video, protocol) if few else {},
        "presence": presence(everything),
    }


def presence(outcomes: list[Outcome]) -> dict:
    """Whether scores tell who is there: the shares of right sentences above the threshold and of wrong ones below it
    (None where there are none), and n of both."""
    scores = {right: [o.score for o in outcomes if o.reference.present == right] for right in (True, False)}
    right, wrong = (np.array(scores[key]) for key in (True, False))
    return {
        "right_above": float((right >= PRESENT).mean()) if len(right) else None,
        "wrong_below": float((wrong < PRESENT).mean()) if len(wrong) else None,
        "n_right": len(right),
        "n_wrong": len(wrong),
    }


def figures(outcomes: list[Outcome], protocol: str) -> dict:
    """{mean_iou, overall_iou, map, p@0.5 .. p@0.9, vp@0.5 .. vp@0.9, n}: from 0 to 1, or None where n is 0."""
    if not outcomes:
        return dict.fromkeys(NAMES) | {"n": 0}
    ious = np.array([outcome.iou for outcome in outcomes])
    lowest = _lowest(ious, _videos(outcomes))
    reaches = REACHES[protocol]
    values = [
        ious.mean(),
        _ratio(sum(outcome.intersection for outcome in outcomes), sum(outcome.union for outcome in outcomes)),
        coco_map(outcomes) if protocol == MTTR else reaches(ious, AP_LEVELS[:, None]).mean(),
        *(reaches(ious, level).mean() for level in LEVELS),
        *((lowest > level).mean() for level in LEVELS),
    ]
    return dict(zip(NAMES, map(float, values), strict=True)) | {"n": len(outcomes)}


def intervals(outcomes: list[Outcome], protocol: str, seed: int = 0) -> dict[str, list[float] | None]:
    """95 % bootstrap intervals, [low, high], of mean_iou, p@0.5, overall_iou, vp@0.5 and non_trivial_mean_iou.

    Whole videos are drawn with replacement, 1000 times: the samples of one are alike. The same seed gives the same
    intervals. None for the last one where no sample is non-trivial.
    """
    videos = _videos(outcomes)
    count = videos.max() + 1
    ious = np.array([outcome.iou for outcome in outcomes])
    hard = np.array([outcome.reference.difficulty == NON_TRIVIAL for outcome in outcomes])
    drawn = drawn_counts(count, seed)

    def total(values: ArrayLike) -> np.ndarray:
        """Sums over the drawn samples, [RESAMPLES]."""
        return drawn @ np.bincount(videos, values, count)

    samples = total(np.ones(len(outcomes)))
    resampled = {
        "mean_iou": total(ious) / samples,
        "p@0.5": total(REACHES[protocol](ious, 0.5)) / samples,
        "overall_iou": _ratio(total([o.intersection for o in outcomes]), total([o.union for o in outcomes])),
        "vp@0.5": drawn @ (_lowest(ious, videos) > 0.5) / count,
        "non_trivial_mean_iou": _ratio(total(hard * ious), total(hard), nothing=np.nan),
    }
    return {name: interval(values) for name, values in resampled.items()}


def coco_map(outcomes: list[Outcome]) -> float:
    """COCO's mAP over IoU 0.50:0.05:0.95 of masks, each sample an image with one truth and one detection."""
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        truths = _coco([{"segmentation": outcome.truth} for outcome in outcomes])
        found = _coco([{"segmentation": outcome.predicted, "score": outcome.score} for outcome in outcomes])
        evaluation = COCOeval(truths, found, "segm")
        # The other areas, and more than the one detection there is, would only take time.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [1]
        evaluation.evaluate()
        evaluation.accumulate()
    return float(evaluation.eval["precision"].mean())


def _coco(annotations: list[dict]) -> COCO:
    """An index of one annotation an image."""
    from pycocotools.coco import COCO
    from pycocotools.mask import area

    coco = COCO()
    coco.dataset = {"images": [], "categories": [{"id": 1}], "annotations": []}
    for number, annotation in enumerate(annotations, start=1):  # pycocotools takes number 0 for "no match"
        height, width = annotation["segmentation"]["size"]
        common = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        coco.dataset["images"].append({"id": number, "height": height, "width": width})
        coco.dataset["annotations"].append(common | annotation | {"area": float(area(annotation["segmentation"]))})
    coco.createIndex()
    return coco


def _by(outcomes: list[Outcome], key: Callable[[Reference], str | None], protocol: str) -> dict[str, dict]:
    """The figures of each group, by its name; samples of no group are left out."""
    names = sorted({name for outcome in outcomes if (name := key(outcome.reference)) is not None})
    return {name: figures([o for o in outcomes if key(o.reference) == name], protocol) for name in names}


def _videos(outcomes: list[Outcome]) -> np.ndarray:
    """The number of each sample's video, int [n], from 0."""
    return np.unique([outcome.reference.video for outcome in outcomes], return_inverse=True)[1]


def _lowest(ious: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """The lowest IoU of each video."""
    lowest = np.full(videos.max() + 1, np.inf)
    np.minimum.at(lowest, videos, ious)
    return lowest


def _ratio(part: ArrayLike, whole: ArrayLike, nothing: float = 1.0) -> np.ndarray:
    """Part over whole; `nothing` where the whole is zero."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(whole.shape, nothing), where=whole > 0)
