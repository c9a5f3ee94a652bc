"""Actions as motion around a pose. What the pose is says nothing of the action: each motion is nothing at time 0.

Whatever repeats does so every PERIOD frames, so that a clip looks the same again in its other annotated frames:
no single frame gives an action away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PERIOD = 8
GAIT = 0.12  # the widest

# A2D's 43 valid pairs.
ACTIONS_OF = {
    "adult": ("climbing", "crawling", "eating", "jumping", "rolling", "running", "walking", "none"),
    "baby": ("climbing", "crawling", "rolling", "walking", "none"),
    "ball": ("flying", "jumping", "rolling", "none"),
    "bird": ("climbing", "eating", "flying", "jumping", "rolling", "walking", "none"),
    "car": ("flying", "jumping", "rolling", "running", "none"),
    "cat": ("climbing", "eating", "jumping", "rolling", "running", "walking", "none"),
    "dog": ("crawling", "eating", "jumping", "rolling", "running", "walking", "none"),
}


@dataclass(frozen=True)
class Motion:
    """An action's numbers for one actor.

    drift: (forward, up), in frame sides a frame. bounce: height of the hops, in actor sizes; swing: of the angle, in
    degrees; turn: whole turns a period; squash: share by which the length changes. phase: in [0, 1).
    """

    drift: tuple[float, float] = (0.0, 0.0)
    bounce: float = 0.0
    swing: float = 0.0
    turn: float = 0.0
    squash: float = 0.0
    phase: float = 0.0

    @property
    def gait(self) -> float:
        """How far limbs swing, in actor sizes: with the hops, or else with whatever else repeats."""
        return min(GAIT, 2 * self.bounce + self.squash / 2 + self.swing / 200)

    def at(self, time: np.ndarray) -> dict[str, np.ndarray]:
        """Offsets from the pose at `time`, in frames from the target: forward and up in frame sides, hop in actor
        sizes, angle in degrees (positive leans forward), stretch as a share, gait as a share of the size."""
        cycle = 2 * np.pi * (time / PERIOD + self.phase)
        start = 2 * np.pi * self.phase
        hop = np.abs(np.sin(cycle / 2)) - abs(np.sin(start / 2))
        wave = np.sin(cycle) - np.sin(start)
        return {
            "forward": self.drift[0] * time,
            "up": self.drift[1] * time,
            "hop": self.bounce * hop,
            "angle": self.swing * wave + 360 * self.turn * time / PERIOD,
            "stretch": self.squash * wave,
            "gait": self.gait * wave / 2,
        }


def motion(action: str, rng: np.random.Generator) -> Motion:
    """A way to do `action`."""
    between, phase = rng.uniform, rng.random()
    match action:
        case "walking":
            return Motion((between(0.006, 0.010), 0), bounce=between(0.03, 0.06), phase=phase)
        case "running":
            return Motion((between(0.020, 0.032), 0), bounce=between(0.08, 0.14), phase=phase)
        case "crawling":
            return Motion((between(0.002, 0.004), 0), squash=between(0.09, 0.13), phase=phase)
        case "climbing":
            return Motion((0, between(0.008, 0.014)), swing=between(6, 11), phase=phase)
        case "jumping":
            return Motion((between(0, 0.004), 0), bounce=between(0.5, 0.9), phase=phase)
        case "rolling":
            return Motion((between(0.004, 0.014), 0), turn=1.0, phase=phase)
        case "flying":
            rise = between(0.35, 0.7) * rng.choice((-1, 1))
            speed = between(0.010, 0.022)
            return Motion((speed, rise * speed), swing=between(2, 5), phase=phase)
        case "eating":
            return Motion(swing=between(11, 17), phase=phase)
        case "none":
            return Motion()
    raise ValueError(f"unknown action {action!r}")
