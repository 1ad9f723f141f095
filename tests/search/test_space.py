from __future__ import annotations

from pathlib import Path

import pytest

from imccompiler.errors import UserInputError
from imccompiler.search import read_space
from imccompiler.search.genes import Genome
from imccompiler.search.space import Range

EXAMPLE = Path(__file__).parents[2] / "examples" / "space_digits.yaml"


def line_of(path: Path, text: str) -> int:
    return next(i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_ranges_expand():
    assert Range(low=4, high=9).values() == (4, 5, 6, 7, 8, 9)
    assert Range(low=0.1, high=0.5, step=0.2).values() == (0.1, 0.3, 0.5)
    assert Range(low=8, high=64, factor=2).values() == (8, 16, 32, 64)
    assert Range(low=1, high=2, step=0.3).values() == (1.0, 1.3, 1.6, 1.9)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("adc.bits: {low: 3", "adc.bitz: {low: 3", "adc.bitz", "bitz"),
        ("adc.bits: {low: 3", "adc.bits: {low: 13", "adc.bits", "low must not be above high"),
        ("high: 8}", "high: 40}", "adc.bits", "'adc.bits' cannot be 17"),
        ("cell.bits: [1, 2, 4]", "cell.bits: [1, many]", "cell.bits", "cannot be 'many'"),
        ("cell.bits: [1, 2, 4]", "crossbar.rows: [64, 128]", "small:", "also set by"),
        ("networks: [digits-mlp]", "networks: [digits-mpl]", "networks", "digits-mpl"),
        ("base: isaac", "base: issac", "base", "issac"),
        ("quantize.method: [minmax, mse]", "quantize.how: [a, b]", "quantize.how", "how"),
        ("quantize.method: [minmax, mse]", "squash.x: [1, 2]", "squash.x", "no pass 'squash'"),
        ("[minmax, mse]", "[minmax, other]", "quantize.method", "other"),
        ("metric: accuracy", "metric: precision", "precision", "objectives.0.metric"),
        ("batch_size: 6", "batch_size: 6\nworkers: 2", "workers", "unknown key `workers`"),
        ("inputs: digits", "inputs: none.npz", "inputs", "none.npz"),
        ("data: {inputs: digits, samples: 50}\n", "", "", "accuracy needs `data`"),
        ("calibration: digits", "calibration: [", "hardware", "not YAML"),
    ],
)
def test_faults_name_their_line(space, old, new, line, message):
    path = space(old, new)
    with pytest.raises(UserInputError, match=r".*") as caught:
        read_space(path)
    assert message in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(path))
    if line:
        numbers = {line_of(path, line), line_of(path, line) + 1}
        assert int(caught.value.where.rpartition(":")[2]) in numbers


def test_all_faults_of_the_schema_are_told_at_once(space):
    with pytest.raises(UserInputError) as caught:
        read_space(space("batch_size: 6", "batch_size: one", "front_effort: 0", "effort: 0"))
    assert "batch_size" in str(caught.value)
    assert "unknown key `effort`" in str(caught.value)


def test_a_space_in_which_nothing_varies_is_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "networks: [digits-mlp]\nhardware: {base: isaac}\nobjectives: [{metric: latency_ns}]\n"
    )
    with pytest.raises(UserInputError, match="nothing varies"):
        read_space(path)


def test_the_example_varies_network_machine_and_mapping():
    space = read_space(EXAMPLE).space
    names = {gene.name for gene in Genome.of(space).genes}
    assert {"network", "objective"} <= names
    assert len(names & {*space.hardware.fields, *space.hardware.variants}) >= 6
    assert len(names & {"objective", *space.mapping.passes}) >= 2


def test_the_example_scales_converters_as_it_says():
    def energy(bits: int) -> float:
        return 100 * bits + 0.001 * 4**bits

    def area(bits: int) -> float:
        return 2**bits / 10 ** (0.0369 * bits)

    variants = read_space(EXAMPLE).space.hardware.variants
    for values in variants["adc"].values():
        bits = values["adc.bits"]
        assert values["adc.conversion_pj"] == pytest.approx(1.5625 * energy(bits) / energy(8), 1e-5)
        assert values["adc.area_um2"] == pytest.approx(1200 * area(bits) / area(8), 1e-3)
        assert values["adc.conversion_ns"] == pytest.approx(0.78125 * bits / 8)
    for values in variants["array"].values():
        cells = values["crossbar.rows"] * values["crossbar.columns"] / 128**2
        periphery = 30 + (values["crossbar.rows"] * 2270 + values["crossbar.columns"] * 810) / 1024
        assert values["crossbar.read_pj"] == pytest.approx(30 * cells)
        assert values["crossbar.array_area_um2"] == pytest.approx(25 * cells)
        assert values["crossbar.periphery_area_um2"] == pytest.approx(periphery)
