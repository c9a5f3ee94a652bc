"""Photographic cut-outs that act beside the emoji: stills, and actors cut out of real videos frame by frame."""

from __future__ import annotations

import zlib
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np

from cstm.data.real import LEFT_OUT
from cstm.data.sample import ACTIONS, ACTORS
from cstm.data.sprites.art import BACKGROUND, Sprite
from cstm.errors import DatasetError

SIDE = 128  # of a picture in memory, in pixels
TEST_SHARE = 5  # of the stills and backgrounds, one in so many is for tests
RIGID = ("ball", "car")  # nothing of them swings
SEXES = ("male", "female")


class Cutouts:
    """The cut-outs in a folder that a split may show.

    folder: holds RGBA stills `<class>_<name>.webp` or .png; folders `<class>_<video>` of a moving actor's RGBA frames,
    numbered; and backgrounds/, photographs. What is known besides the class follows it: `adult-female_alice.webp`,
    `dog-walking_dog/`. split: "train", or a test split: a fifth of the stills, by their names, and the actors of the
    videos that are left out of training. share: of the actors in a scene that are to be cut-outs.
    sprites: by class; a class may have none. DatasetError when there is none at all.
    """

    def __init__(self, folder: str | Path, split: str, share: float = 1.0):
        self.folder, self.share, self.test = Path(folder), share, split != "train"
        self.sprites: dict[str, tuple[Sprite, ...]] = dict.fromkeys(ACTORS, ())
        for path in sorted(self.folder.glob("*_*")):
            if path.is_dir() or path.suffix in (".webp", ".png"):
                sprite = _sprite(path)
                if self._shown(sprite):
                    self.sprites[sprite.actor] += (sprite,)
        if not any(self.sprites.values()):
            raise DatasetError(f"{folder}: holds no cut-outs such as dog_rex.webp for the split {split}")

    def _shown(self, sprite: Sprite) -> bool:
        name = sprite.file.name
        for_tests = name.split("_", 1)[1] in LEFT_OUT if sprite.moving else _is_for_tests(name)
        return for_tests == self.test

    @cached_property
    def backgrounds(self) -> tuple[np.ndarray, ...]:
        """Photographs beside their mirror images, so that they go round: RGB uint8 [256,512,3]."""
        files = [f for f in sorted((self.folder / "backgrounds").glob("*.jpg")) if _is_for_tests(f.name) == self.test]
        half = BACKGROUND[0] // 2, BACKGROUND[1]
        images = [cv2.resize(_read(file, cv2.COLOR_BGR2RGB), half, interpolation=cv2.INTER_AREA) for file in files]
        return tuple(np.hstack([image, image[:, ::-1]]) for image in images)


def _is_for_tests(name: str) -> bool:
    return zlib.crc32(name.encode()) % TEST_SHARE == 0


def _sprite(path: Path) -> Sprite:
    kind, *known = path.stem.split("_")[0].split("-")
    unknown = {kind} - set(ACTORS) | set(known) - {*SEXES, *ACTIONS}
    if unknown:
        raise DatasetError(f"{path}: {', '.join(unknown)}: is no class, sex or action; see data.sprites.cutouts")
    sex = next((word for word in known if word in SEXES), None)
    action = next((word for word in known if word in ACTIONS), None)
    first = path if path.is_file() else next(iter(sorted(path.iterdir())))
    colour = named_colour(_square(first), middle=kind in ("adult", "baby"))
    return Sprite(path, kind, sex, photo=True, moving=path.is_dir(), action=action, own_colour=colour)


def named_colour(rgba: np.ndarray, middle: bool = False) -> str | None:
    """The colour that half of a picture has, of `art.COLOURS`, or None. rgba: uint8 [H,W,4]; middle: look at no more
    than the middle of its height, where people wear what they are told by."""
    rows = slice(int(0.2 * len(rgba)), int(0.55 * len(rgba))) if middle else slice(None)
    part = rgba[rows][rgba[rows][..., 3] > 200][:, :3]
    if not len(part):
        return None
    hue, saturation, value = cv2.cvtColor(part[None], cv2.COLOR_RGB2HSV)[0].T.astype(int)
    grey = saturation < 45
    names = {
        "black": value < 55,
        "white": grey & (value > 185),
        "gray": grey & (value >= 55) & (value <= 185),
        "red": ~grey & ((hue < 8) | (hue > 170)) & (value >= 90),
        "brown": ~grey & (hue >= 4) & (hue < 24) & (value >= 55) & ((value < 150) | (saturation < 130)),
        "orange": ~grey & (hue >= 8) & (hue < 20) & (value >= 150) & (saturation >= 130),
        "yellow": ~grey & (hue >= 20) & (hue < 34) & (value >= 130) & (saturation >= 100),
        "green": ~grey & (hue >= 36) & (hue < 85) & (value >= 55),
        "blue": ~grey & (hue >= 90) & (hue < 130) & (value >= 55),
        "pink": ~grey & (hue >= 150) & (hue <= 170) & (value >= 90),
    }
    name, share = max(((name, has.mean()) for name, has in names.items()), key=lambda item: item[1])
    return name if share >= 0.5 else None


def animate(sprite: Sprite, side: int, times: np.ndarray, gait: np.ndarray, first: int, tempo: float) -> np.ndarray:
    """The cut-out at `times`: RGBA uint8 [T,side,side,4], colours multiplied by alpha.

    A moving actor's frames from number `first` on, there and back, `tempo` of its own a frame; a still bent as `gait`
    says, float [T], so that it moves like something alive.
    """
    pictures = textures(sprite, side)
    if sprite.moving:
        last = len(pictures) - 1
        numbers = np.round(first + tempo * np.asarray(times)).astype(int) % max(2 * last, 1)
        return pictures[np.minimum(numbers, 2 * last - numbers)]
    if sprite.actor in RIGID:
        return np.repeat(pictures, len(times), axis=0)
    return np.stack([_bent(pictures[0], float(swing)) if swing else pictures[0] for swing in gait])


@lru_cache(maxsize=3000)
def textures(sprite: Sprite, side: int) -> np.ndarray:
    """All pictures of a cut-out, RGBA uint8 [N,side,side,4], colours multiplied by alpha."""
    made = []
    for file in sorted(sprite.file.iterdir()) if sprite.moving else [sprite.file]:
        flat = _square(file).astype(np.float32)
        flat[..., :3] *= flat[..., 3:] / 255
        made.append(cv2.resize(flat, (side, side), interpolation=cv2.INTER_AREA).round().astype(np.uint8))
    return np.stack(made)


def _bent(picture: np.ndarray, swing: float) -> np.ndarray:
    """The picture with its lower half swung, left against right, its upper half swaying and bobbing along."""
    side = len(picture)
    v, u = np.mgrid[0:side, 0:side].astype(np.float32) / side
    below, above = np.clip(2 * v - 1, 0, 1), np.clip(1 - 2 * v, 0, 1)
    across = side * swing * (below**1.5 * np.cos(np.pi * u) + 0.25 * above)
    up = 0.25 * side * swing * above
    return cv2.remap(picture, u * side - across, v * side - up, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


@lru_cache(maxsize=1)
def _square(file: Path) -> np.ndarray:
    """A cut-out in the middle of a square, RGBA uint8 [SIDE,SIDE,4]."""
    rgba = _read(file, cv2.COLOR_BGRA2RGBA)
    height, width = rgba.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = rgba
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _read(file: Path, order: int) -> np.ndarray:
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED if order == cv2.COLOR_BGRA2RGBA else cv2.IMREAD_COLOR)
    if image is None or (order == cv2.COLOR_BGRA2RGBA and image.shape[-1] != 4):
        raise DatasetError(f"{file}: not a picture, or without an alpha channel")
    return cv2.cvtColor(image, order)
