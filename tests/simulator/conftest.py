"""Small machines and programs written as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Function, Port, Program, Quantization
from imccompiler.program.text import assemble

MEMORY = {
    "width_bytes": 32,
    "read_ns": 1.0,
    "write_ns": 1.0,
    "read_pj": 1.0,
    "write_pj": 1.0,
}


def make_machine(
    *, cores: int = 4, crossbar: Mapping[str, Any] | None = None, cell_bits: int = 2, **adc: Any
) -> Machine:
    """A machine of small cores; `crossbar` and `adc` override its fields."""
    converter = {"bits": 8, "per_crossbar": 1, "conversion_ns": 1.0, "conversion_pj": 1.0, **adc}
    array = {
        "rows": 32,
        "columns": 64,
        "rows_active": 32,
        "adc": converter,
        "read_ns": 10.0,
        "read_pj": 1.0,
        **(crossbar or {}),
    }
    core = {
        "crossbars": 8,
        "crossbar": array,
        "cell": {"kind": "rram", "bits": cell_bits},
        "local_memory": {"kib": 4, **MEMORY},
        "vector": {"lanes": 8, "latency_ns": 1.0, "step_pj": 1.0},
    }
    noc = {
        "flit_bytes": 32,
        "base_ns": 1.0,
        "hop_ns": 1.0,
        "flit_pj": 1.0,
        "global_memory_ns": 5.0,
    }
    return Machine.model_validate(
        {
            "name": "small",
            "technology": {"node_nm": 32},
            "core_kinds": {"core": core},
            "chip": {
                "grid": (1, cores),
                "cores": [{"kind": "core", "count": cores}],
                "noc": noc,
                "global_memory": {"kib": 64, **MEMORY},
            },
        }
    )


def make_program(
    *streams: str,
    weights: Mapping[tuple[int, int], NDArray[Any]] | None = None,
    images: Sequence[tuple[int, int, Sequence[int]]] = (),
    functions: tuple[Function, ...] = (),
    inputs: tuple[Port, ...] = (),
    outputs: tuple[Port, ...] = (),
    layers: tuple[str, ...] = ("first", "second"),
    local_bytes: int = 4096,
    global_bytes: int = 4096,
) -> Program:
    """A program of one stream a core; `weights` gives a matrix to a (core, group)."""
    codes = [assemble(s) for s in streams]
    entries = sorted((weights or {}).items())
    columns_per_weight = 4
    used = dict.fromkeys(range(len(streams)), 0)
    groups, tiles = [], []
    for matrix, ((core, group), w) in enumerate(entries):
        groups.append((core, group, len(tiles), 1, w.shape[0], w.shape[1], 1))
        assert w.shape[1] * columns_per_weight <= 64
        tiles.append((core, used[core], 0, 0, matrix, 0, w.shape[0], 0, w.shape[1], 0, 0))
        used[core] += 1
    return Program(
        code=np.concatenate(codes),
        core_start=np.cumsum([0, *map(len, codes)]),
        groups=np.array(groups, np.int32).reshape(-1, 7),
        tiles=np.array(tiles, np.int32).reshape(-1, 11),
        matrices={f"w{i}": np.asarray(w, np.int16) for i, (_, w) in enumerate(entries)},
        images=tuple((c, a, np.asarray(v, np.uint8)) for c, a, v in images),
        functions=functions,
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        weight_bits=8,
        input_bits=8,
        local_bytes=np.full(len(streams), local_bytes, np.int64),
        global_bytes=global_bytes,
    )


def make_port(name: str, shape: tuple[int, ...], address: int, bits: int = 8) -> Port:
    """A port in ONNX order."""
    return Port(name, shape, tuple(range(len(shape))), Quantization(1.0, 0, bits), address)


@pytest.fixture(scope="session")
def machine() -> Machine:
    return make_machine()


@pytest.fixture(scope="session", name="make_machine")
def make_machine_fixture() -> Callable[..., Machine]:
    return make_machine


@pytest.fixture(scope="session", name="make_program")
def make_program_fixture() -> Callable[..., Program]:
    return make_program


@pytest.fixture(scope="session", name="make_port")
def make_port_fixture() -> Callable[..., Port]:
    return make_port
