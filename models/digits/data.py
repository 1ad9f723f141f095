"""The digits that travel with the package, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent


def heldout() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the 500 images that no training saw and their labels.

    Returns:
        Images float32 [500, 1, 8, 8] from 0 to 1, and labels int64 [500].
    """
    with np.load(FOLDER / "heldout.npz", allow_pickle=False) as arrays:
        return arrays["image"], arrays["label"]


def calibration() -> npt.NDArray[np.float32]:
    """Return 128 training images, float32 [128, 1, 8, 8] from 0 to 1, for quantisation."""
    with np.load(FOLDER / "calibration.npz", allow_pickle=False) as arrays:
        return arrays["image"]
