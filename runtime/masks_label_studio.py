"""Boxes around masks as Label Studio imports them: one task, a track a sentence (its tags Video and VideoRectangle)."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cstm.runtime.boxes import bounding_box
from cstm.runtime.frame_masks import FrameMasks
from cstm.runtime.masks_file import TextWriter


class LabelStudioWriter(TextWriter):
    """Label Studio has no masks for videos: of each, the box is kept, and written at the end. Frames count from 1,
    places are percents of the frame. A track is switched off from a frame without a mask to the next with one."""

    def __init__(self, path: str | Path, head: Mapping[str, Any]):
        super().__init__(path, head)
        self._times = array("d")
        self._frames = array("q")
        self._boxes = [array("i") for _ in head["sentences"]]  # four numbers a frame; 0 0 0 0 where there is no mask

    def before(self) -> str:
        """As TextWriter has it."""
        return ""

    def of_frame(self, result: FrameMasks) -> str:
        """As TextWriter has it."""
        self._frames.append(result.index)
        self._times.append(result.time)
        for boxes, mask in zip(self._boxes, result.masks, strict=True):
            boxes.extend(bounding_box(mask) or (0, 0, 0, 0))
        return ""

    def after(self) -> str:
        """As TextWriter has it."""
        tracks = [self._track(number, sentence) for number, sentence in enumerate(self.head["sentences"])]
        prediction = {"model_version": "cstm", "result": [track for track in tracks if track["value"]["sequence"]]}
        return json.dumps([{"data": {"video": self.head["video"]}, "predictions": [prediction]}])

    def _track(self, number: int, sentence: str) -> dict[str, Any]:
        value = {
            "framesCount": self._frames[-1] + 1 if self._frames else 0,
            "duration": round(self._times[-1] + 1 / self.head["fps"], 6) if self._times else 0,
            "labels": [sentence],
            "sequence": self._sequence(self._boxes[number]),
        }
        return {
            "id": f"sentence{number}",
            "type": "videorectangle",
            "from_name": "box",
            "to_name": "video",
            "value": value,
        }

    def _sequence(self, boxes: array) -> list[dict[str, Any]]:
        """Its key frames."""
        height, width = self.head["size"]
        sequence: list[dict[str, Any]] = []
        for i, (frame, time) in enumerate(zip(self._frames, self._times, strict=True)):
            top, left, bottom, right = boxes[4 * i : 4 * i + 4]
            seen = bottom > top
            if not seen and not (sequence and sequence[-1]["enabled"]):
                continue
            place = {
                "x": _percent(left, width),
                "y": _percent(top, height),
                "width": _percent(right - left, width),
                "height": _percent(bottom - top, height),
                "rotation": 0,
            }
            place = place if seen else {name: sequence[-1][name] for name in place}
            sequence.append({"frame": frame + 1, "time": round(time, 6), "enabled": seen, **place})
        return sequence


def _percent(length: int, whole: int) -> float:
    return round(100 * length / whole, 4)
