from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

Feeds = dict[str, np.ndarray]
Run = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a model on given inputs, and on seeded ones where none is given."""

    def run(model: onnx.ModelProto, feeds: Feeds | None = None, seed: int = 0) -> dict[str, Any]:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        if feeds is None:
            rng = np.random.default_rng(seed)
            feeds = {
                each.name: rng.integers(0, 2, each.shape)
                if each.type == "tensor(int64)"
                else rng.standard_normal(each.shape, np.float32)
                for each in session.get_inputs()
            }
        outputs = [each.name for each in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return run
