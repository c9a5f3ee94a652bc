"""A folder of pictures as a video: one picture a frame, in the natural order of their names."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cstm.errors import VideoError
from cstm.runtime.frames import Frame, Source

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
# Pictures too, of kinds that are not read: frames would be missing without a word.
OTHER_IMAGES = {".avif", ".dng", ".dpx", ".exr", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".tga"}


def open_folder(path: Path, fps: float, first: int = 0) -> Source:
    """A folder's pictures as frames, from number `first` on. VideoError when there are none, or when it is unsure which
    of them are frames: pictures of kinds that are not read, or two for one number, as where a mask lies beside each
    frame."""
    try:
        names = sorted((p for p in path.iterdir() if p.name[0] != "."), key=_natural)
    except OSError as error:
        raise VideoError(f"{path}: cannot be looked into ({error.strerror}); check its permissions") from error
    files = [p for p in names if p.suffix.lower() in IMAGES]
    if other := [p for p in names if p.suffix.lower() in OTHER_IMAGES]:
        raise VideoError(f"{path}: {other[0].name} is of a kind that is not read; save it as PNG, or remove it")
    if not files:
        raise VideoError(f"{path}: holds no images ({', '.join(sorted(IMAGES))}); name a folder of frames")
    return Source(str(path), _frames(files, fps, first), fps, len(files), _checked(path, files))


def as_rgb(name: str, image: Image.Image) -> np.ndarray:
    """A Pillow image as RGB uint8 [H,W,3], turned as it says.

    16-bit grey (thermal, depth) keeps its upper 8 bits, where Pillow clips. VideoError when it cannot be read, or for
    pixels of 32 bits, whose black and white nothing tells.
    """
    try:
        return _pixels(ImageOps.exif_transpose(image))
    except Exception as error:  # of damaged files, Pillow raises whatever its parsers do
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> VideoError:
    told = " ".join(str(error).split()) or type(error).__name__
    return VideoError(f"{name}: not an image that can be read ({told}); remove it or save it again")


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        grey = np.array(image, np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise ValueError("its pixels have 32 bits")
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    return np.array(image.convert("RGB"))


def _frames(files: list[Path], fps: float, first: int) -> Iterator[Frame]:
    for index, file in enumerate(files[first:], first):
        try:
            image = Image.open(file)
        except Exception as error:
            raise _unreadable(str(file), error) from error
        with image:
            rgb = as_rgb(str(file), image)
        yield Frame(index, index / fps, rgb)


def _checked(path: Path, files: list[Path]) -> list[str]:
    """What is odd about the names, a line each. VideoError where two pictures may be of one frame."""
    stems: dict[str, Path] = {}
    for file in files:
        if (before := stems.setdefault(file.stem, file)) != file:
            raise _two_for_one(path, before, file)
    kinds = _kinds(files)
    for kind, numbers in kinds.items():
        for other, others in kinds.items():
            if kind != other and len(numbers) > 1 and numbers.keys() <= others.keys():
                first = next(iter(numbers))
                raise _two_for_one(path, others[first], numbers[first])
    if len(kinds) < 2:
        return []
    names = ", ".join(next(iter(numbers.values())).name for numbers in list(kinds.values())[:3])
    note = f"{path}: its pictures have {len(kinds)} kinds of names ({names}); all were taken for frames"
    logging.getLogger(__name__).warning(note)
    return [note]


def _two_for_one(path: Path, one: Path, other: Path) -> VideoError:
    pair = f"{one.name} and {other.name}"
    return VideoError(f"{path}: holds two pictures for one frame ({pair}); keep frames and masks in two folders")


def _kinds(files: list[Path]) -> dict[str, dict[str, Path]]:
    """Files by what is around the numbers in their names, then by the numbers. Names without a number are their own."""
    kinds: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in files:
        numbers = re.findall(r"\d+", file.stem)
        kind = re.sub(r"\d+", "#", file.stem) + file.suffix.lower() if numbers else ""
        kinds[kind][" ".join(str(int(n)) for n in numbers) if numbers else file.name] = file
    return kinds


def _natural(path: Path) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
