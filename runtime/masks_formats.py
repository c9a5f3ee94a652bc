"""Which form masks are written in, by the name that is to be written to."""

from __future__ import annotations

from pathlib import Path

from cstm.errors import RequestError
from cstm.files import is_special
from cstm.runtime.masks_coco import CocoWriter
from cstm.runtime.masks_file import JsonWriter, LinesWriter, MasksWriter
from cstm.runtime.masks_label_studio import LabelStudioWriter
from cstm.runtime.masks_pictures import PicturesWriter

ENDINGS: dict[str, type[MasksWriter]] = {  # the first that fits
    ".coco.json": CocoWriter,
    ".labelstudio.json": LabelStudioWriter,
    ".jsonl": LinesWriter,
    ".json": JsonWriter,
}


def masks_writer(path: str | Path) -> type[MasksWriter]:
    """What writes masks to `path`: by its ending; pictures to a name without one; JSON to a pipe or device.
    RequestError where the name has another ending."""
    place = Path(path)
    if is_special(place):
        return JsonWriter
    for ending, writer in ENDINGS.items():
        if place.name.lower().endswith(ending):
            return writer
    if not place.suffix:
        return PicturesWriter
    raise RequestError(f"{path}: masks are written to {', '.join(ENDINGS)}, or as pictures to a folder (no ending)")
