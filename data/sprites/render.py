"""A scene's frames, and who is visible where."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from cstm.data.sprites.art import TEXTURE_SIDES, backgrounds, texture
from cstm.data.sprites.cutouts import Cutouts, animate
from cstm.data.sprites.scene import Actor, Scene

WHITE_NOISE = 1 << 21


def render(
    scene: Scene,
    split: str,
    times: np.ndarray,
    size: int,
    labelled: tuple[int, ...],
    compress: bool = True,
    cutouts: Cutouts | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the scene at `times` (frames from the target).

    Returns frames RGB uint8 [T,size,size,3]; for each index into `times` of `labelled`, masks bool
    [L,A,size,size] of what is visible of each actor; and int64 [L,A], pixels it would have if nothing were in front.
    compress: with the artefacts of lossy compression in some scenes. cutouts: those that the scene was drawn with.
    """
    rng = np.random.default_rng(scene.seed)
    shifts = _camera(scene, times, rng)
    panorama = (*backgrounds(split), *(cutouts.backgrounds if cutouts else ()))
    frames = [_view(panorama[scene.background % len(panorama)], scene.crop, shift, size) for shift in shifts]
    owners = {k: np.zeros((size, size), np.uint8) for k in labelled}
    whole = {k: np.zeros(len(scene.actors), np.int64) for k in labelled}
    for number, actor in enumerate(scene.actors):
        paints = _paints(actor, times, size, rng)
        if actor.sprite.photo:
            paints = _lit(paints, frames[0])
        for k, matrix in enumerate(_matrices(actor, times, shifts, size, paints.shape[1])):
            if actor.shadow is not None:
                _darken(frames[k], actor, actor.shadow, times[k], shifts[k], size)
            drawn = _draw(frames[k], paints[k], matrix)
            if k in owners and drawn:
                place, alpha = drawn
                solid = alpha > 127
                owners[k][place][solid] = number + 1
                whole[k][number] = solid.sum()
    seen = _sensor(np.stack(frames), rng, compress)
    masks = np.stack([owners[k] == np.arange(1, len(scene.actors) + 1)[:, None, None] for k in labelled])
    return seen, masks, np.stack([whole[k] for k in labelled])


def _camera(scene: Scene, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T,2]: how far the view has moved, in frame sides; nothing at time 0."""
    shake = rng.normal(0, scene.shake, (len(times), 2)) * (np.asarray(times) != 0)[:, None]
    return np.outer(times, scene.pan) + shake


def _view(panorama: np.ndarray, crop: tuple[float, float, float], shift: np.ndarray, size: int) -> np.ndarray:
    scale = crop[2] * panorama.shape[0] / size
    height = panorama.shape[0]
    x = crop[0] * height + shift[0] * scale * size
    y = np.clip(crop[1] * height + shift[1] * scale * size, 0, height * (1 - crop[2]))
    matrix = np.array([[scale, 0, x % panorama.shape[1]], [0, scale, y]], np.float32)
    return cv2.warpAffine(
        panorama, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
    )


def _paints(actor: Actor, times: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The texture at each time, [T,side,side,4], at a size near the drawn one; sometimes smeared, as by motion, but
    whatever the actor does."""
    pixels = actor.size * size
    side = next((side for side in TEXTURE_SIDES if side >= pixels), TEXTURE_SIDES[-1])
    if actor.sprite.photo:
        gait = actor.motion.at(np.asarray(times, float))["gait"]
        paints = animate(actor.sprite, side, times, gait, actor.first, actor.tempo)
    else:
        paints = texture(actor.sprite, actor.colour, side)[None]
    if rng.random() < 0.25:
        length = max(2, int(side * rng.uniform(0.04, 0.12)))
        kernel = (length, 1) if rng.random() < 0.5 else (1, length)
        paints = np.stack([cv2.blur(paint, kernel, borderType=cv2.BORDER_CONSTANT) for paint in paints])
    return np.broadcast_to(paints, (len(times), *paints.shape[1:]))


def _lit(paints: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A cut-out in the light of its surroundings, part of the way."""
    own = cv2.mean(paints[0])[:3] / np.maximum(cv2.mean(paints[0])[3] / 255, 1e-3)
    gain = np.clip((np.array(cv2.mean(frame)[:3]) + 20) / (own + 20), 0.3, 3) ** 0.35
    colours = paints[..., :3] * gain.astype(np.float32)
    return np.concatenate([np.minimum(colours, paints[..., 3:]).astype(np.uint8), paints[..., 3:]], axis=-1)


def _matrices(actor: Actor, times: np.ndarray, shifts: np.ndarray, size: int, side: int) -> np.ndarray:
    """[T,2,3]: texture to frame."""
    move = actor.motion.at(np.asarray(times, float))
    facing = 1 if actor.mirrored else -1
    x = actor.x + facing * move["forward"] - shifts[:, 0]
    y = actor.y - move["up"] - move["hop"] * actor.size - shifts[:, 1]
    angle = np.radians(actor.angle + facing * move["angle"])
    scale = actor.size * size / side
    near = np.exp(actor.growth * np.asarray(times, float))
    wide = scale * near * np.sqrt(actor.aspect) * (1 + move["stretch"]) * -facing
    tall = scale * near / np.sqrt(actor.aspect) / (1 + move["stretch"])
    matrices = np.empty((len(times), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = np.cos(angle) * wide, -np.sin(angle) * tall
    matrices[:, 1, 0], matrices[:, 1, 1] = np.sin(angle) * wide, np.cos(angle) * tall
    centre = (side - 1) / 2
    matrices[:, 0, 2] = x * size - (matrices[:, 0, 0] + matrices[:, 0, 1]) * centre
    matrices[:, 1, 2] = y * size - (matrices[:, 1, 0] + matrices[:, 1, 1]) * centre
    return matrices


def _draw(frame: np.ndarray, paint: np.ndarray, matrix: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Paint over the frame in place; (slices, alpha uint8) of where, or None when it is out of the frame."""
    size, side = frame.shape[0], paint.shape[0] - 1
    corners = matrix[:, :2] @ [[0, side, 0, side], [0, 0, side, side]] + matrix[:, 2:]
    left, top = np.maximum(np.floor(corners.min(1)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(1)).astype(int) + 2, size)
    if left >= right or top >= bottom:
        return None
    local = matrix.copy()
    local[:, 2] -= left, top
    drawn = cv2.warpAffine(paint, local, (int(right - left), int(bottom - top)), flags=cv2.INTER_LINEAR)
    place = slice(top, bottom), slice(left, right)
    alpha = drawn[..., 3]
    under = cv2.multiply(frame[place], cv2.merge([255 - alpha] * 3), scale=1 / 255)
    frame[place] = cv2.add(under, drawn[..., :3])
    return place, alpha


def _darken(frame: np.ndarray, actor: Actor, below: float, time: float, shift: np.ndarray, size: int) -> None:
    """The shadow, which stays on the ground when its actor hops."""
    move = actor.motion.at(np.asarray(float(time)))
    x = actor.x + (1 if actor.mirrored else -1) * move["forward"] - shift[0]
    y = actor.y - move["up"] + below * actor.size - shift[1]
    wide, tall = max(2, int(actor.size * size * 0.9)), max(1, int(actor.size * size * 0.22))
    left, top = int(x * size - wide / 2), int(y * size - tall / 2)
    shade = _shadow(wide, tall)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, size), min(top + tall, size)
    if x0 < x1 and y0 < y1:
        part = shade[y0 - top : y1 - top, x0 - left : x1 - left]
        frame[y0:y1, x0:x1] = cv2.multiply(frame[y0:y1, x0:x1], part, scale=1 / 255)


@cache
def _shadow(wide: int, tall: int) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : tall * 1j, -1 : 1 : wide * 1j]
    dark = np.clip(1.2 - x * x - y * y, 0, 1) * 0.45
    return np.repeat((255 * (1 - dark)).astype(np.uint8)[..., None], 3, axis=2)


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(WHITE_NOISE).astype(np.float32)


def _sensor(frames: np.ndarray, rng: np.random.Generator, compress: bool) -> np.ndarray:
    """Exposure, focus, noise, compression."""
    gain, gamma, tone = rng.uniform(0.65, 1.2), rng.uniform(0.8, 1.25), rng.uniform(0.94, 1.06, 3)
    levels = np.linspace(0, 1, 256)[:, None] ** gamma * gain * tone
    table = np.clip(255 * levels, 0, 255).astype(np.uint8)[None]
    blur, noise = rng.random() < 0.25, rng.choice((0, 2, 5, 9), p=(0.3, 0.3, 0.25, 0.15))
    quality = int(rng.integers(25, 75)) if compress and rng.random() < 0.25 else None
    width = rng.uniform(0.5, 1.1) * frames.shape[1] / 128
    bank, count = _noise(), frames[0].size
    for frame in frames:
        frame[...] = cv2.LUT(frame, table)
        if blur:
            frame[...] = cv2.GaussianBlur(frame, (0, 0), width)
        if noise:
            start = int(rng.integers(WHITE_NOISE - count))
            grain = bank[start : start + count].reshape(frame.shape)
            frame[...] = cv2.scaleAdd(grain, float(noise), frame.astype(np.float32)).round().clip(0, 255)
        if quality:
            frame[...] = cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    return frames
