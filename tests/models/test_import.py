from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_names_and_descriptions_need_no_onnx() -> None:
    done = python(
        "import sys; from imccompiler import models; models.describe(models.names()[0]);"
        "sys.exit(bool({'onnx', 'onnxruntime', 'torch'} & sys.modules.keys()))"
    )
    assert done.returncode == 0, done.stderr


def test_second_copy_under_the_short_name_is_refused() -> None:
    assert "must be imported as imccompiler.models" in python("import models").stderr
