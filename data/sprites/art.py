"""The art: actors as tinted textures, backgrounds; which of them a split may see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np

from cstm.data.sample import ACTORS

ART = Path(__file__).parents[1] / "art"
TEXTURE_SIDES = (24, 48, 96)
BACKGROUND = (512, 256)  # width, height

# What only the test split sees: walkers among the adults, and per class the variants least like the others.
TEST_SPRITES = (
    "adult_1f6b6", "baby_1f476-1f3fd", "baby_1f476-1f3fe", "ball_1f3b1", "ball_26be", "ball_1f3c9", "bird_1f426.",
    "bird_1f986", "bird_1f9a9", "bird_1f54a", "car_1f693", "car_1f699", "cat_1f408-200d", "dog_1f429", "dog_1f9ae",
)  # fmt: skip
TEST_BACKGROUNDS = (
    "blender_interior", "pmndrs_forest", "pmndrs_lobby", "pmndrs_park",
)  # fmt: skip
NOUNS = {
    "basketball": ("1f3c0", "basketball"),
    "football": ("1f3c8", "american-football"),
    "volleyball": ("1f3d0", "volleyball"),
    "soccer ball": ("26bd", "soccer-ball"),
    "parrot": ("1f99c", "parrot"),
    "rooster": ("1f413", "rooster"),
    "penguin": ("1f427", "penguin"),
    "goose": ("1fabf", "goose"),
    "truck": ("1f69a", "1f6fb", "delivery-truck"),
    "van": ("1f690", "minibus"),
    "taxi": ("1f695", "taxi"),
}
COLOURS = {
    "red": (205, 30, 30), "orange": (250, 130, 20), "yellow": (250, 220, 40), "green": (40, 160, 50),
    "blue": (35, 80, 215), "purple": (130, 45, 175), "pink": (250, 130, 185), "brown": (115, 68, 32),
    "black": (28, 28, 30), "white": (240, 240, 240), "gray": (135, 135, 137),
    "light blue": (135, 195, 250), "dark blue": (18, 30, 105), "light green": (150, 230, 130),
    "dark green": (15, 75, 30), "dark red": (110, 8, 14),
}  # fmt: skip
# Pairs that exposure, noise or a shade can make look alike: such a colour tells nobody apart.
ALIKE = (
    {"red", "orange"}, {"red", "pink"}, {"red", "brown"}, {"orange", "yellow"}, {"orange", "brown"},
    {"blue", "purple"}, {"purple", "pink"}, {"white", "gray"}, {"black", "gray"}, {"black", "brown"},
    {"black", "dark blue"}, {"black", "dark green"}, {"black", "dark red"}, {"dark red", "brown"},
    {"dark red", "red"}, {"dark blue", "blue"}, {"light blue", "blue"}, {"dark green", "green"},
    {"light green", "green"}, {"light blue", "white"}, {"light blue", "gray"}, {"dark blue", "purple"},
    {"dark blue", "dark green"}, {"purple", "dark red"}, {"light green", "yellow"},
)  # fmt: skip


@dataclass(frozen=True)
class Sprite:
    """A picture of an actor. file: its path. actor: of ACTORS. sex: "male", "female" or None. noun: its own, if any.

    photo: a cut-out of a photograph, in its own colour, of COLOURS or None. moving: `file` is a folder of a video's
    frames, in which the actor does `action`, of ACTIONS or None where it is none of them.
    """

    file: Path
    actor: str
    sex: str | None = None
    noun: str | None = None
    photo: bool = False
    moving: bool = False
    action: str | None = None
    own_colour: str | None = None

    @property
    def style(self) -> str:
        """The folder of its art, "fluent" or "noto"."""
        return self.file.parent.name


@cache
def sprites(split: str) -> dict[str, tuple[Sprite, ...]]:
    """The actors that `split` may show, by class."""
    style = "noto" if split == "test-style" else "fluent"
    found: dict[str, list[Sprite]] = {actor: [] for actor in ACTORS}
    for file in sorted((ART / style).glob("*.webp")):
        if style == "noto" or file.name.startswith(TEST_SPRITES) == (split == "test"):
            found[file.stem.split("_")[0]].append(_sprite(file))
    return {actor: tuple(files) for actor, files in found.items()}


def _sprite(file: Path) -> Sprite:
    actor, code = file.stem.split("_")
    sex = None
    if actor == "adult":
        female = "2640" in code or code.startswith("woman")
        male = "2642" in code or code.startswith("man")
        sex = "female" if female else "male" if male else None
    noun = next((noun for noun, codes in NOUNS.items() if code in codes), None)
    return Sprite(file, actor, sex, noun)


def alike(one: str | None, other: str | None) -> bool:
    """Whether two colours may be taken for each other; an actor in its own colours (None) for any."""
    return one is None or other is None or one == other or {one, other} in ALIKE


@lru_cache(maxsize=4096)
def texture(sprite: Sprite, colour: str | None, side: int) -> np.ndarray:
    """The actor in `colour` (None: its own), RGBA uint8 [side,side,4], colours multiplied by alpha."""
    rgba = _picture(sprite)
    if colour:
        rgba = rgba.copy()
        part = _tinted_part(sprite)
        rgba[..., :3] = np.where(part[..., None], _tint(rgba[..., :3], part, COLOURS[colour]), rgba[..., :3])
    flat = rgba.astype(np.float32)
    flat[..., :3] *= flat[..., 3:] / 255
    return cv2.resize(flat, (side, side), interpolation=cv2.INTER_AREA).round().astype(np.uint8)


def _tint(rgb: np.ndarray, part: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    light = rgb.astype(np.float32).mean(-1)
    shade = light / max(float(light[part].mean()), 1)
    return np.clip(np.array(colour) * (0.5 + 0.5 * np.clip(shade, 0.2, 1.7))[..., None], 0, 255)


@cache
def _picture(sprite: Sprite) -> np.ndarray:
    rgba = cv2.cvtColor(cv2.imread(str(sprite.file), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    if sprite.actor == "baby":
        rgba = _with_body(rgba)
    rows, columns = np.nonzero(rgba[..., 3] > 64)
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = rgba.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = rgba
    return cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)


BODY = 77  # the gray of a baby's suit, before it is tinted


def _with_body(head: np.ndarray) -> np.ndarray:
    """The art's babies are heads: a suit, hands and feet below."""
    skin = [int(v) for v in np.median(head[120:200, 60:200, :3].reshape(-1, 3), axis=0)] + [255]
    canvas = np.zeros((256, 256, 4), np.uint8)
    for centre in ((70, 180), (186, 180), (98, 240), (158, 240)):
        cv2.circle(canvas, centre, 19, skin, -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (128, 184), (50, 62), 0, 0, 360, (BODY + 90, BODY + 90, BODY + 90, 255), -1, cv2.LINE_AA)
    small = cv2.resize(head, (148, 148), interpolation=cv2.INTER_AREA).astype(np.float32)
    place = canvas[0:148, 54:202].astype(np.float32)
    alpha = small[..., 3:] / 255
    canvas[0:148, 54:202] = np.where(alpha > 0, small * alpha + place * (1 - alpha), place)
    canvas[0:148, 54:202, 3] = np.maximum(small[..., 3], place[..., 3])
    return canvas


@cache
def _tinted_part(sprite: Sprite) -> np.ndarray:
    """bool [128,128]: clothes of people, all of the others."""
    rgba = _picture(sprite)
    if sprite.actor not in ("adult", "baby"):
        return rgba[..., 3] > 0
    hue, saturation, value = np.moveaxis(cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV), -1, 0)
    row = np.arange(128)[:, None]
    if sprite.actor == "baby":
        return (saturation < 30) & (row > 60) & (rgba[..., 3] > 0)
    shirt = (hue > 70) & (hue < 150) & (saturation > 70)
    trousers = (saturation < 60) & (row > 50)
    shoes = (row > 110) & shirt
    return (shirt | trousers) & ~shoes & (value > 40) & (rgba[..., 3] > 0)


@cache
def backgrounds(split: str) -> tuple[np.ndarray, ...]:
    """The panoramas that `split` may show, RGB uint8 [256,512,3]."""
    found = []
    for file in sorted((ART / "backgrounds").glob("*.jpg")):
        if file.name.startswith(TEST_BACKGROUNDS) == (split != "train"):
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            found.append(_without_holes(cv2.resize(image, BACKGROUND, interpolation=cv2.INTER_AREA)))
    return tuple(found)


def _without_holes(image: np.ndarray) -> np.ndarray:
    """Some tone-mapped suns came out as a square of pure blue."""
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    hole = (blue > 120) & (red < 60) & (green < 60)
    return cv2.inpaint(image, cv2.dilate(hole.astype(np.uint8), np.ones((5, 5))), 3, cv2.INPAINT_TELEA)
