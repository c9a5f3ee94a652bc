"""Masks as a COCO dataset: a category a sentence, an image a frame. pycocotools reads it, CVAT imports it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cstm.runtime import rle
from cstm.runtime.boxes import Box, bounding_box
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.masks_file import TextWriter

FRAME_FILE = "frame_{:06d}.PNG"  # as CVAT calls the frames of a video


class CocoWriter(TextWriter):
    """Annotations as they come, the list of images, of which only the numbers are kept, at the end. Images' ids are the
    frames' numbers, from 0, categories' the sentences', from 1. A sentence without a mask has no annotation there."""

    def __init__(self, path: str | Path, head: Mapping[str, Any]):
        super().__init__(path, head)
        self._frames = array("q")
        self._annotations = 0

    def before(self) -> str:
        """As TextWriter has it."""
        categories = [{"id": i, "name": sentence} for i, sentence in enumerate(self.head["sentences"], 1)]
        start = {"info": {"description": self.head["video"]}, "categories": categories, "annotations": []}
        return json.dumps(start)[:-2]

    def of_frame(self, result: FrameMasks) -> str:
        """As TextWriter has it."""
        self._frames.append(result.index)
        found = enumerate(zip(result.masks, map(bounding_box, result.masks), result.scores, strict=True), 1)
        made = [self._annotation(result.index, i, mask, box, score) for i, (mask, box, score) in found if box]
        text = "".join(f", {json.dumps(annotation)}" for annotation in made)
        first = len(made) == self._annotations
        return text[2:] if first else text

    def after(self) -> str:
        """As TextWriter has it."""
        height, width = self.head["size"]
        images = (
            json.dumps({"id": index, "file_name": FRAME_FILE.format(index), "width": width, "height": height})
            for index in self._frames
        )
        return f'], "images": [{", ".join(images)}]}}'

    def _annotation(self, image: int, category: int, mask: np.ndarray, box: Box, score: float) -> dict[str, Any]:
        self._annotations += 1
        top, left, bottom, right = box
        return {
            "id": self._annotations,
            "image_id": image,
            "category_id": category,
            "segmentation": rle.encode(mask),
            "area": int(np.count_nonzero(mask)),
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
            "score": round(float(score), 6),
        }
