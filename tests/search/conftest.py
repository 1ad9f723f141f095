from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SPACE = """\
networks: [digits-mlp]
data: {inputs: digits, samples: 50}
calibration: digits
hardware:
  base: isaac
  fields:
    chip.grid: [[1, 1], [1, 2], [2, 2]]
    core.crossbars: [1, 2, 8]
    adc.bits: {low: 3, high: 8}
    cell.bits: [1, 2, 4]
  variants:
    array:
      small: {crossbar.rows: 64, crossbar.columns: 64}
      large: {crossbar.rows: 128, crossbar.columns: 128}
mapping:
  passes:
    quantize.method: [minmax, mse]
objectives:
  - metric: accuracy
  - metric: latency_ns
  - metric: area_mm2
batch_size: 6
front_effort: 0
"""


@pytest.fixture
def space(tmp_path: Path) -> Callable[..., Path]:
    """Write a small space, with texts replaced by others (old, new, old, new ...)."""

    def write(*changes: str) -> Path:
        text = SPACE
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return path

    return write
