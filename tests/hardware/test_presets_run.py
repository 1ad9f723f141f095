"""Every preset compiles real networks, and what it computes equals the reference bit for bit."""

from __future__ import annotations

import pytest

import imccompiler
from imccompiler.hardware.load import presets
from imccompiler.models import digits


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("network", ["lenet", "digits-cnn"])
def test_networks_run_bit_exactly(name: str, network: str) -> None:
    calibration = {"image": digits.calibration()} if network == "digits-cnn" else None
    compiled = imccompiler.compile(network, name, effort=0, check=True, calibration=calibration)
    check = compiled.report.check
    assert check is not None
    assert check.bit_exact
    assert compiled.report.latency_ns > 0
    if name == "dimc":
        assert check.adc_bits is None
        spent = compiled.report.energy_pj.by_component
        assert spent["adder_tree"] > 0
        assert spent["adc"] == 0
