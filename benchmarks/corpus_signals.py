"""Signals as networks of the corpus meet them, made here and seeded: no data set is needed.

Text is set from the scanned digits that ship with the trained networks; speech is voiced sound
with syllables, pauses and noise, at 16 kHz.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imccompiler import models

Floats = NDArray[np.float32]
RATE_HZ = 16_000


@cache
def digits() -> Floats:
    """Scanned digits that no network was trained on, ink in [0, 1], shape (500, 8, 8)."""
    with np.load(Path(models.__path__[0]) / "digits" / "heldout.npz") as arrays:
        return np.ascontiguousarray(arrays["image"][:, 0])


def text_lines(
    random: np.random.Generator, height: int, width: int, lines: int
) -> NDArray[np.float64]:
    """A grey image of lines of digits on shaded paper: values in [0, 1], shape (height, width)."""
    paper = 0.85 + 0.1 * _smooth(random, height, width)
    size = height // lines
    scale = max(1, size * 3 // 4 // 8)
    glyphs = digits()
    for line in range(lines):
        top = line * size + (size - 8 * scale) // 2
        for left in range(2 * scale, width - 9 * scale, 7 * scale):
            if random.random() < 0.85:
                glyph = glyphs[random.integers(len(glyphs))]
                ink = np.kron(glyph, np.ones((scale, scale)))
                paper[top : top + 8 * scale, left : left + 8 * scale] *= 1 - 0.8 * ink
    return np.clip(paper + random.normal(0, 0.01, paper.shape), 0, 1)


def photograph(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Three channels whose spectrum falls with 1 / f, as that of natural images does, in [0, 1].

    Field, "Relations between the statistics of natural images", JOSA A 4 (1987).
    """
    grey = _smooth(random, height, width)
    return np.stack([np.clip(grey + 0.1 * _smooth(random, height, width), 0, 1) for _ in "rgb"])


def _smooth(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise with a 1 / f spectrum, in [0, 1]."""
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(y, x), 1 / max(height, width))
    spectrum = np.fft.rfft2(random.standard_normal((height, width))) / frequency
    noise = np.fft.irfft2(spectrum, (height, width))
    low, high = noise.min(), noise.max()
    return (noise - low) / (high - low)


def speech(random: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Sound in [-1, 1], shape (samples,): harmonics of a gliding pitch under three formants."""
    time = np.arange(samples) / RATE_HZ
    pitch_hz = 130 + 40 * np.sin(2 * np.pi * 0.7 * time + random.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    formants = np.array([600.0, 1400.0, 2600.0]) * random.uniform(0.8, 1.2, 3)
    voice = np.zeros(samples)
    for harmonic in range(1, 30):
        gaps = (harmonic * pitch_hz[:, None] - formants) / (150, 200, 250)
        voice += (np.exp(-(gaps**2)) @ [1.0, 0.5, 0.25]) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time + random.uniform(0, 6)) + 0.3, 0, 1)
    pauses = np.sin(2 * np.pi * 0.8 * time + random.uniform(0, 6)) > -0.5
    sound = 0.2 * voice * syllables * pauses + random.normal(0, 0.005, samples)
    return np.clip(sound, -1, 1)
