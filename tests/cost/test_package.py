"""What several chips on a package take: area, power and the energy of their links."""

from __future__ import annotations

import pytest

from imccompiler.cost import energy
from imccompiler.cost.area import area_mm2
from imccompiler.cost.peak import peak_tops
from imccompiler.cost.power import peak_power_mw
from imccompiler.hardware.load import load, vary

MEMORY = {
    "global_memory.area_um2": 3e6,
    "global_memory.static_mw": 7.0,
    "global_memory.read_pj": 50.0,
    "chip.static_mw": 11.0,
}


@pytest.mark.parametrize("preset", ["isaac", "pimcomp"])
def test_area_is_that_of_the_chips_and_of_one_global_memory(preset):
    one = vary(load(preset), MEMORY)
    area, of_six = area_mm2(one), area_mm2(vary(one, {"package.chips": 6}))
    assert area["global_memory"] == 3
    expected = {name: value * (1 if name == "global_memory" else 6) for name, value in area.items()}
    assert of_six == pytest.approx(expected)


@pytest.mark.parametrize("preset", ["isaac", "pimcomp"])
def test_peak_power_is_that_of_the_chips_their_links_and_one_global_memory(preset):
    one = vary(load(preset), MEMORY)
    power, of_six = peak_power_mw(one), peak_power_mw(vary(one, {"package.chips": 6}))
    expected = {name: 6 * value for name, value in power.items()}
    expected["global_memory"] = power["global_memory"]
    expected["static"] -= 5 * 7
    expected["noc"] += 7 * 2600  # 2 x 3 chips have 3 + 4 borders; 10.4 W / 4 links
    assert of_six == pytest.approx(expected)


def test_links_that_take_no_time_have_no_peak():
    free = vary(load("isaac"), {"package.chips": 2, "package.link_ns_per_flit": 0.0})
    assert peak_power_mw(free)["noc"] == pytest.approx(2 * peak_power_mw(load("isaac"))["noc"])


def test_operations_grow_with_the_chips():
    isaac = load("isaac")
    assert peak_tops(vary(isaac, {"package.chips": 3})) == pytest.approx(3 * peak_tops(isaac))


def test_chips_without_work_are_gated_off():
    machine = vary(load("pimcomp"), MEMORY | {"package.chips": 3})  # 1 mW a core
    assert energy.static_mw(machine) == 3 * (144 + 11) + 7
    assert energy.static_mw(machine, [0, 143]) == 2 + 11 + 7
    assert energy.static_mw(machine, [0, 144, 145]) == 3 + 2 * 11 + 7
    assert energy.static_mw(machine, []) == 11 + 7


def test_a_flit_pays_every_link():
    machine = vary(load("isaac"), {"package.chips": 9})
    assert energy.message_pj(machine, 33, 3, 2) == {"noc": 2 * (42 + 3 * 21 + 2 * 13_000)}
    assert energy.send_pj(machine, 33, 3, 2) == {"noc": 4 * (42 + 3 * 21 + 2 * 13_000)}
