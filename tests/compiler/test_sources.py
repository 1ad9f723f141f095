"""What a user may give as a network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import imccompiler
from imccompiler import models
from imccompiler.compiler.sources import network_of, parse_bindings
from imccompiler.errors import ModelError, UserInputError
from imccompiler.simulator.float_model import run_float


def test_bytes_and_models_and_names_are_the_same() -> None:
    proto = models.build("digits-mlp")
    given = ("digits-mlp", proto, proto.SerializeToString(deterministic=True))
    networks, sources = zip(*(network_of(m, {}, shapes_only=False) for m in given), strict=True)
    assert len({network.store.content_hash() for network in networks}) == 1
    assert len(set(sources)) == 1


def test_bindings_are_numbers() -> None:
    texts = ["n=3", "a=b=4", "s=0.5", "t=true", "f=False", "m=-1"]
    assert parse_bindings(texts) == {"n": 3, "a=b": 4, "s": 0.5, "t": 1, "f": 0, "m": -1}
    for text in ("n", "=1", "n=", "n=x"):
        with pytest.raises(UserInputError, match="name=number"):
            parse_bindings([text])
    with pytest.raises(UserInputError, match="twice"):
        parse_bindings(["n=1", "n=2"])


def test_example_inputs_are_for_modules() -> None:
    with pytest.raises(UserInputError, match="Module only"):
        imccompiler.compile("lenet", "isaac", example_inputs=(1,))


def test_torch_is_not_imported() -> None:
    code = (
        "import imccompiler, sys; imccompiler.compile('digits-mlp', 'isaac', effort=0);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_torch_modules() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(4 * 8 * 8, 5),
    ).train()  # fmt: skip
    x = torch.randn(1, 1, 8, 8)
    compilation = imccompiler.compile(module, "isaac", example_inputs=(x,), check=True, effort=0)
    assert compilation.report.check is not None
    assert compilation.report.check.bit_exact
    assert module.training  # as it was
    port = compilation.network.module.body.block.first_op.port.data
    network = compilation.network
    outputs = run_float(network.module, network.store, {port: x.numpy()})
    expected = module.eval()(x).detach().numpy()
    assert np.abs(next(iter(outputs.values())) - expected).max() < 1e-5
    with pytest.raises(UserInputError, match="needs example inputs"):
        imccompiler.compile(module, "isaac")
    with pytest.raises(ModelError, match="Sequential: torch cannot export it"):
        imccompiler.compile(module, "isaac", example_inputs=(torch.randn(3),))
