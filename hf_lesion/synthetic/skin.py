"""Bare skin under a dermatoscope: its tone, furrows, mottling, vessels, fine hairs and light."""

import math

import numpy as np
from numpy.typing import NDArray

from hf_lesion.synthetic.layers import Layers
from hf_lesion.synthetic.texture import (
    Map,
    Patch,
    noise,
    ridges,
    rough_noise,
    smooth_step,
    spots,
    strokes,
    wavy_lines,
)

# Skin around the lesions of HAM10000, by k-means of its mean colours, and some darker tones.
TONES = (
    (0.88, 0.58, 0.59),
    (0.93, 0.66, 0.67),
    (0.82, 0.49, 0.49),
    (0.78, 0.66, 0.70),
    (0.84, 0.72, 0.76),
    (0.92, 0.81, 0.83),
    (0.71, 0.59, 0.63),
    (0.86, 0.68, 0.58),
    (0.70, 0.50, 0.42),
    (0.50, 0.35, 0.28),
)
SHARES = (0.17, 0.15, 0.10, 0.14, 0.12, 0.08, 0.08, 0.08, 0.05, 0.03)


def sample_tone(person: np.random.Generator) -> NDArray[np.float32]:
    """Sample the tone of one person's skin, (3,) RGB in [0, 1]."""
    tone = np.array(TONES[person.choice(len(TONES), p=SHARES)]) + person.normal(0, 0.02, 3)
    return np.clip(tone, 0.1, 0.97).astype(np.float32)


def paint_skin(patch: Patch, person: np.random.Generator) -> Layers:
    """Paint bare skin: `person` decides how much of everything it has, the patch where it lies."""
    skin = Layers.empty(patch)
    mottled, red = person.uniform(0.02, 0.06), person.uniform(0.0, 0.1) * (person.random() < 0.4)
    brown = person.uniform(0.05, 0.22) * (person.random() < 0.4)
    freckled, downy = person.random() < 0.25, person.random() < 0.5
    furrows = _paint_furrows(patch, person)
    depth = person.uniform(0.03, 0.11) * person.choice([-0.5, 1.0], p=(0.3, 0.7))
    redness = mottled * (rough_noise(patch, 34, 2) + 0.5 * rough_noise(patch, 9, 2))
    vessels = ridges(patch, 11, 0.16) * smooth_step(noise(patch, 25), -0.6, 1.0)
    # Blood only adds: paler than the tone itself would look green.
    skin.blood = np.logaddexp(0, 30 * (redness + mottled)) / 30 + red * vessels
    skin.melanin = 0.025 * rough_noise(patch, 40) + 0.012 * rough_noise(patch, 1.3, 2)
    skin.melanin += depth * furrows
    skin.melanin += brown * smooth_step(rough_noise(patch, 13), 0.0, 2.4)
    skin.height = -person.uniform(0.02, 0.12) * furrows
    if freckled:
        count = patch.rng.integers(3, 12)
        places = patch.rng.uniform(-0.5, 0.5, (count, 2)) * (patch.width, patch.height)
        marks = spots(patch, places, patch.rng.uniform(2, 6, count), sharpness=3)
        skin.melanin += patch.rng.uniform(0.08, 0.25) * marks * (1 + 0.5 * rough_noise(patch, 3, 2))
    if downy:
        skin.white = patch.rng.uniform(0.15, 0.4) * _paint_down(patch)
    return skin


def paint_light(patch: Patch) -> NDArray[np.float32]:
    """Return (H, W, 3) light: a gentle gradient, a fall towards the rim, a camera's tint."""
    rng = patch.rng
    x, y = patch.coordinates()
    turn, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.16)
    gradient = slope * (x * math.cos(turn) + y * math.sin(turn)) / patch.width
    fall = rng.uniform(0.05, 0.6) * (x * x + y * y) / patch.width**2
    field = rng.uniform(0.96, 1.12) * (1 + gradient - fall)
    return (field[:, :, None] * rng.normal(1, 0.015, 3)).astype(np.float32)


def _paint_furrows(patch: Patch, person: np.random.Generator) -> Map:
    """Return the furrows that divide skin into rhombi and triangles, (H, W) in [0, 1]."""
    period, turn = person.uniform(2.2, 3.6), person.uniform(0, math.pi)
    total = np.zeros(patch.shape, np.float32)
    for step, strength in ((0.0, 1.0), (1.05, 0.8), (2.1, 0.5)):
        angle = turn + step + person.normal(0, 0.12)
        lines = wavy_lines(patch, angle, period * person.uniform(0.9, 1.3))
        total = np.maximum(total, np.float32(strength) * lines)
    return total * smooth_step(noise(patch, 28), -1.6, 0.6)


def _paint_down(patch: Patch) -> Map:
    """Return fine pale hairs that all lie roughly one way, (H, W) in [0, 1]."""
    rng = patch.rng
    heading, count = rng.uniform(0, 2 * math.pi), int(rng.integers(4, 18))
    lines = []
    for start in rng.uniform(-0.55, 0.55, (count, 2)) * (patch.width, patch.height):
        turns = heading + rng.normal(0, 0.35) + np.linspace(0, rng.normal(0, 0.8), 12)
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(1.0, 3.0)
        lines.append(start + np.cumsum(steps, axis=0))
    return strokes(patch, lines, rng.uniform(0.3, 0.6, count).tolist(), taper=0.8)
