"""The figures, against cases counted by hand and against pycocotools itself."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cstm.bench import metrics
from cstm.bench.metrics import LEVELS, NAMES, Outcome, coco_map, figures, intervals, summarise
from cstm.data.sample import NON_TRIVIAL, TRIVIAL, Reference
from cstm.errors import ContractError, MissingDependencyError, RequestError


def bar(start: int, stop: int) -> np.ndarray:
    """A mask of 2x10 pixels, of which `start`..`stop`, counted along the rows, are in."""
    return ((np.arange(20) >= start) & (np.arange(20) < stop)).reshape(2, 10)


def outcome(predicted, truth, score=0.9, video="v", **reference) -> Outcome:
    return Outcome.of(Reference(video, 0, "the dog", **reference), bar(*predicted), bar(*truth), score)


def exact(hundredths: int, **rest) -> Outcome:
    """An outcome of a chosen IoU."""
    return replace(outcome((0, 1), (0, 1), **rest), intersection=hundredths, union=100)


def random_masks(count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [(bar(0, rng.integers(0, 20)), bar(rng.integers(0, 3), rng.integers(8, 20))) for _ in range(count)]


def random_outcomes(count=60, videos=30, seed=0) -> list[Outcome]:
    rng = np.random.default_rng(seed)
    return [
        Outcome.of(
            Reference(f"v{rng.integers(videos)}", i, "the dog", difficulty=str(rng.choice([TRIVIAL, NON_TRIVIAL]))),
            *masks,
            round(float(rng.random()), 1),
        )
        for i, masks in enumerate(random_masks(count, seed))
    ]


# I, U: 10, 10; 5, 10; 4, 12; 0, 20.
HAND = [
    outcome((0, 10), (0, 10), video="a", actor="dog", action="running", difficulty=TRIVIAL),
    outcome((0, 5), (0, 10), video="a", actor="cat", action="running", difficulty=NON_TRIVIAL),
    outcome((0, 8), (4, 12), video="b", actor="dog", difficulty=NON_TRIVIAL),
    outcome((0, 10), (10, 20), video="c", actor="dog", difficulty=TRIVIAL),
]


def test_pixels_are_counted():
    assert [(o.intersection, o.union) for o in HAND] == [(10, 10), (5, 10), (4, 12), (0, 20)]
    assert [o.iou for o in HAND] == pytest.approx([1, 1 / 2, 1 / 3, 0])
    with pytest.raises(ContractError, match="must agree"):
        Outcome.of(Reference("v", 0, "x"), bar(0, 1), bar(0, 1).T, 1)


def test_figures_by_hand():
    found = figures(HAND, "authors")
    assert found["n"] == 4
    assert found["mean_iou"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert found["overall_iou"] == pytest.approx(19 / 52)
    assert [found[f"p@{level}"] for level in LEVELS] == [0.5, 0.25, 0.25, 0.25, 0.25]
    # Two samples reach 0.50, one the other nine levels.
    assert found["map"] == pytest.approx((2 / 4 + 9 * 1 / 4) / 10)


def test_half_is_enough_for_the_authors_and_not_for_mttr():
    assert figures(HAND, "authors")["p@0.5"] == 0.5
    assert figures(HAND, "mttr")["p@0.5"] == 0.25


@pytest.mark.parametrize("hundredths", [50, 60, 70, 80, 90])
def test_every_level_is_exact(hundredths):
    name = f"p@{hundredths / 100}"
    found = {p: figures([exact(hundredths)], p) for p in ("authors", "mttr")}
    assert found["authors"][name] == 1 and found["mttr"][name] == 0
    assert found["authors"]["map"] == pytest.approx((hundredths - 45) / 50)
    assert figures([exact(hundredths + 1)], "mttr")[name] == 1
    assert figures([exact(hundredths - 1)], "authors")[name] == 0


@pytest.mark.parametrize("protocol", ["authors", "mttr"])
def test_a_video_counts_when_all_its_samples_do(protocol):
    outcomes = [
        *(exact(i, video="good") for i in (95, 81)),
        *(exact(i, video="mixed") for i in (99, 99, 40)),
        exact(50, video="border"),
        exact(65, video="fair"),
    ]
    found = figures(outcomes, protocol)
    assert [found[f"vp@{level}"] for level in LEVELS] == [0.5, 0.5, 0.25, 0.25, 0]


def test_parts_of_the_samples():
    found = summarise(HAND, "authors")
    assert found["non_trivial"] == figures(HAND[1:3], "authors")
    assert found["non_trivial"]["mean_iou"] == pytest.approx(5 / 12)
    assert {name: part["n"] for name, part in found["per_actor"].items()} == {"cat": 1, "dog": 3}
    assert {name: part["n"] for name, part in found["per_action"].items()} == {"running": 2}
    assert found["per_actor"]["cat"] == figures(HAND[1:2], "authors")


def test_empty_masks():
    nothing, missed, invented = outcome((0, 0), (0, 0)), outcome((0, 0), (0, 5)), outcome((0, 5), (0, 0))
    assert [o.iou for o in (nothing, missed, invented)] == [1, 0, 0]
    assert figures([nothing], "authors")["overall_iou"] == 1
    assert figures([nothing, missed], "authors")["overall_iou"] == 0
    for protocol in ("authors", "mttr"):
        summarise([nothing, missed, invented], protocol)


def test_keys_and_json():
    for protocol in ("authors", "mttr"):
        found = summarise(HAND, protocol)
        keys = {"mean_iou", "overall_iou", "map", "n"}
        keys |= {f"{kind}@0.{digit}" for kind in ("p", "vp") for digit in range(5, 10)}
        assert set(found["non_trivial"]) == keys == {*NAMES, "n"}
        parts = {"non_trivial", "ci", "protocol", "per_actor", "per_action", "per_video", "presence"}
        assert set(found) == keys | parts
        assert found["protocol"] == protocol
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_sentences_of_nobody_count_for_presence_alone():
    absent = replace(HAND[0], reference=replace(HAND[0].reference, present=False), score=0.2)
    found = summarise([*HAND, absent, replace(absent, score=0.9)], "authors")
    assert {**found, "presence": None} == {**summarise(HAND, "authors"), "presence": None}
    assert found["presence"]["wrong_below"] == 0.5 and found["presence"]["n_wrong"] == 2
    with pytest.raises(RequestError, match="no sample"):
        summarise([absent], "authors")


def test_without_non_trivial_samples():
    found = summarise([HAND[0]], "authors")
    assert found["non_trivial"] == dict.fromkeys(NAMES) | {"n": 0}
    assert found["ci"]["non_trivial_mean_iou"] is None
    assert found["ci"]["mean_iou"] == [1, 1]


def test_bad_requests(monkeypatch):
    with pytest.raises(RequestError, match="authors, mttr"):
        summarise(HAND, "coco")
    with pytest.raises(RequestError, match="no sample"):
        summarise([], "authors")
    monkeypatch.setattr(metrics, "installed_version", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        summarise(HAND, "mttr")


def test_coco_map_by_hand():
    # Ranked: right (IoU 1), wrong (0), right up to 0.50 (5/10). At 0.50 precision is 1 up to recall 1/3 (34 of the
    # 101 points, 0 .. 0.33), then 2/3 up to 2/3 (33 points, to 0.66), then 0; above 0.50 only the first part is left.
    ranked = [replace(HAND[0], score=0.9), replace(HAND[3], score=0.8), replace(HAND[1], score=0.7)]
    half, above = (34 + 33 * 2 / 3) / 101, 34 / 101
    assert coco_map(ranked) == pytest.approx((half + 9 * above) / 10)
    # The wrong one ranked first costs the others.
    worse = [replace(ranked[0], score=0.5), ranked[1], replace(ranked[2], score=0.4)]
    assert coco_map(worse) == pytest.approx(((34 + 33) * 2 / 3 + 9 * 34 / 2) / 101 / 10)
    assert coco_map(HAND[:1]) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_coco_map_is_that_of_pycocotools(seed, tmp_path, capsys):
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    outcomes = random_outcomes(seed=seed)
    truths = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "actor"}], "info": {}}
    found = []
    for image, (masks, o) in enumerate(zip(random_masks(60, seed), outcomes, strict=True), start=1):
        predicted, truth = (coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks)
        for encoded in (predicted, truth):
            encoded["counts"] = encoded["counts"].decode()
        truths["images"].append({"id": image, "height": 2, "width": 10})
        annotation = {"id": 100 + image, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 10, 2]}
        truths["annotations"].append(annotation | {"area": int(masks[1].sum()), "segmentation": truth})
        found.append({"image_id": image, "category_id": 1, "segmentation": predicted, "score": o.score})
    (tmp_path / "truths.json").write_text(json.dumps(truths))
    (tmp_path / "found.json").write_text(json.dumps(found))
    coco = COCO(str(tmp_path / "truths.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "found.json")), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert 0.05 < evaluation.stats[0] < 0.95
    assert coco_map(outcomes) == pytest.approx(evaluation.stats[0], abs=1e-9)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("protocol", ["authors", "mttr"])
def test_intervals_hold_the_figures_and_are_the_same_again(protocol):
    outcomes = random_outcomes()
    found = summarise(outcomes, protocol)
    points = {name: found[name] for name in ("mean_iou", "p@0.5", "overall_iou", "vp@0.5")}
    points["non_trivial_mean_iou"] = found["non_trivial"]["mean_iou"]
    assert set(found["ci"]) == set(points)
    for name, point in points.items():
        low, high = found["ci"][name]
        assert low <= point <= high and 0 < high - low < 0.5
    assert intervals(outcomes, protocol) == found["ci"]
    assert intervals(outcomes, protocol, seed=1) != found["ci"]


def test_whole_videos_are_drawn():
    # Two kinds of video, 100 alike samples each: by sample the mean is sure to 0.02, by video of four it is not.
    outcomes = [exact(90 if v % 2 else 10, video=f"v{v}") for v in range(4) for _ in range(100)]
    low, high = intervals(outcomes, "authors")["mean_iou"]
    # All four drawn videos are of one kind once in 16: beyond 2.5 % on either side.
    assert (low, high) == pytest.approx((0.1, 0.9))
    apart = [replace(o, reference=replace(o.reference, video=str(i))) for i, o in enumerate(outcomes)]
    low, high = intervals(apart, "authors")["mean_iou"]
    assert 0.44 < low < 0.48 and 0.52 < high < 0.56


def test_interval_of_a_mean_agrees_with_theory():
    rng = np.random.default_rng(0)
    outcomes = [exact(int(rng.integers(0, 101)), video=str(i)) for i in range(400)]
    ious = np.array([o.iou for o in outcomes])
    low, high = intervals(outcomes, "authors")["mean_iou"]
    assert (high - low) / 2 == pytest.approx(1.96 * ious.std() / 20, rel=0.1)
