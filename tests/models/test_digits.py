from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from imccompiler import models
from imccompiler.models import digits


@pytest.mark.parametrize(("name", "least"), [("digits-cnn", 0.98), ("digits-mlp", 0.96)])
def test_shipped_network_recognises_held_out_digits(name: str, least: float, run) -> None:
    images, labels = digits.heldout()
    model = models.build(name)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    assert np.mean(run(model, {"image": images})["logits"].argmax(axis=1) == labels) >= least


def test_arrays_are_as_documented() -> None:
    images, labels = digits.heldout()
    calibration = digits.calibration()
    assert (images.shape, images.dtype) == ((500, 1, 8, 8), np.float32)
    assert (labels.shape, labels.dtype) == ((500,), np.int64)
    assert (calibration.shape, calibration.dtype) == ((128, 1, 8, 8), np.float32)
    assert (images.min(), images.max()) == (0, 1)
    assert np.all(np.bincount(labels) >= 48)  # stratified
    assert not {image.tobytes() for image in images} & {i.tobytes() for i in calibration}


def test_calibration_file_names_the_input() -> None:
    folder = Path(digits.__file__).parent
    with np.load(folder / "calibration.npz") as arrays:
        assert arrays.files == ["image"]
    shipped = [*folder.glob("*.onnx"), *folder.glob("*.npz")]
    assert len(shipped) == 4
    assert sum(path.stat().st_size for path in shipped) < 300 * 1024


def test_shipped_network_has_the_graph_that_is_written_here() -> None:
    from imccompiler.models.digits import network  # noqa: PLC0415

    for name, graph in (("digits-cnn", network.cnn), ("digits-mlp", network.mlp)):
        shipped = models.build(name)
        weights = {t.name: onnx.numpy_helper.to_array(t) for t in shipped.graph.initializer}
        assert graph(weights) == shipped
