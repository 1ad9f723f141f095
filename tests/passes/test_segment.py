from __future__ import annotations

import pytest

from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.load import load, vary
from imccompiler.passes.segment import SegmentPass

HEAD = "fold,canonicalize,quantize,partition"


def grid(rows, columns, crossbars=64):
    return vary(load("pimcomp"), {"chip.grid": [rows, columns], "core.crossbars": crossbars})


def test_one_copy_of_everything_that_just_fits_passes(map_network, named_network):
    """LeNet: ceil(rows / 128) * ceil(outputs / 32) crossbars a layer."""
    network = named_network("lenet")
    shapes = [(25, 6), (150, 16), (400, 120), (120, 84), (84, 10)]
    needed = sum(-(-rows // 128) * -(-outputs // 32) for rows, outputs in shapes)
    map_network(network, grid(1, needed, 1), pipeline=f"{HEAD},segment")
    with pytest.raises(DoesNotFitError) as caught:
        map_network(network, grid(1, needed - 1, 1), pipeline=f"{HEAD},segment")
    error = caught.value
    assert (error.demand, error.capacity, error.unit) == (needed, needed - 1, "crossbars")
    assert error.exit_code == 3
    assert f"at least {needed} cores" in error.levers[0]
    assert "at least 2 crossbars a core" in error.levers[1]


def test_the_levers_make_it_fit(map_network, named_network):
    with pytest.raises(DoesNotFitError):
        map_network(named_network("lenet"), grid(2, 2, 5))
    assert map_network(named_network("lenet"), grid(2, 2, 16)).differing() == 0


def test_a_network_that_is_not_cut_is_refused(map_network, named_network):
    mapping = map_network(named_network("lenet"), "pimcomp", pipeline="fold,canonicalize,quantize")
    with pytest.raises(PassError, match="has no tiling"):
        SegmentPass().run(mapping.context, mapping.module)
