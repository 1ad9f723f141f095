from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from imccompiler.hardware.load import _preset, content_hash, dump, load, presets
from imccompiler.simulator.digital import is_supported

# Set by the description itself, so no publication can be their source.
WITHOUT_SOURCE = {"name", "description", "crossbar_count", "sources"}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}".removeprefix("."))
    else:
        yield path, value


def is_number(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return any(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)


def test_presets_are_named_after_published_machines() -> None:
    assert {"isaac", "puma", "pimcomp", "hermes", "neurram", "sram-analog", "dimc", "hetero"} <= {
        *presets()
    }


@pytest.mark.parametrize("name", presets())
def test_every_number_has_a_source(name: str) -> None:
    machine = load(name)
    covered = {key for source in machine.sources for key in source.keys}
    plain = machine.model_dump(mode="json", exclude=WITHOUT_SOURCE)
    numbers = [path for path, value in leaves(plain) if is_number(value)]
    prefixes = {p: {p.rsplit(".", n)[0] for n in range(p.count(".") + 1)} for p in numbers}
    assert len(numbers) > 60
    assert [p for p in numbers if not prefixes[p] & covered] == []


@pytest.mark.parametrize("name", presets())
def test_every_source_covers_a_key_and_says_something(name: str) -> None:
    machine = load(name)
    plain = machine.model_dump(mode="json", exclude=WITHOUT_SOURCE)
    known = {
        path.rsplit(".", n)[0] for path, _ in leaves(plain) for n in range(path.count(".") + 1)
    }
    keys = [key for source in machine.sources for key in source.keys]
    assert [key for key in keys if key not in known] == []
    assert len(keys) == len(set(keys))
    assert all(len(source.text) > 20 for source in machine.sources)


@pytest.mark.parametrize("name", presets())
def test_dump_reads_back_to_an_equal_machine(name: str, tmp_path: Any) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text(dump(load(name)), encoding="utf-8")
    again = load(file)
    assert again == load(name)
    assert content_hash(again) == content_hash(load(name))


def test_pimcomp_is_the_published_chip() -> None:
    machine = load("pimcomp")
    kind = machine.main_kind
    assert machine.core_count == 144
    assert machine.chip.grid == (12, 12)
    assert kind.crossbars == 64
    assert (kind.crossbar.rows, kind.crossbar.columns, kind.cell.bits) == (128, 128, 2)
    assert kind.crossbar.adc.per_crossbar == 16
    assert kind.rob_size == 1


def test_isaac_has_the_published_number_of_crossbars() -> None:
    machine = load("isaac")
    assert machine.core_count == 168
    assert machine.core_count * machine.main_kind.crossbars == 16128


def test_isaac_lets_all_crossbars_of_a_product_work_at_once() -> None:
    kind = load("isaac").main_kind
    assert kind.sums_row_blocks
    assert kind.rob_size == 1
    assert not load("pimcomp").main_kind.sums_row_blocks


@pytest.mark.parametrize("name", presets())
def test_functions_can_be_executed(name: str) -> None:
    functions = load(name).main_kind.vector.functions
    assert {"Softmax", "LayerNormalization", "Gelu", "Erf", "Tanh", "Sigmoid"} <= {*functions}
    assert [op_type for op_type in functions if not is_supported(op_type)] == []


@pytest.mark.parametrize("name", presets())
def test_loading_is_fast(name: str) -> None:
    seconds = []
    for _ in range(3):
        _preset.cache_clear()
        begin = time.process_time()
        load(name)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.1  # 0.02 s measured; the rest is for busy machines
