"""Two small networks trained on scikit-learn's 8x8 digits, and the images to judge them with.

The data are the Optical Recognition of Handwritten Digits set (Alpaydin and Kaynak, UCI, 1998) as
scikit-learn ships it: 1,797 images, of which 500 were held out from training, stratified by class.
`train.py` made every data file in this folder; `calibration.npz` names the networks' input, so
that it can be given to `imcc compile --calibration`.
"""

from __future__ import annotations

from imccompiler.models.digits.data import calibration, heldout

__all__ = ["calibration", "heldout"]
