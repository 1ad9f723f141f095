"""A small valid program and a machine for it."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Function, Operand, Port, Program, Quantization
from imccompiler.program.text import assemble

MEMORY = {"width_bytes": 32, "read_ns": 1.0, "write_ns": 1.0, "read_pj": 1.0, "write_pj": 1.0}


@pytest.fixture(scope="session")
def machine() -> Machine:
    adc = {"bits": 8, "per_crossbar": 1, "conversion_ns": 1.0, "conversion_pj": 1.0}
    crossbar = {
        "rows": 16,
        "columns": 32,
        "rows_active": 16,
        "adc": adc,
        "read_ns": 1.0,
        "read_pj": 1.0,
    }
    core = {
        "crossbars": 2,
        "crossbar": crossbar,
        "cell": {"kind": "rram", "bits": 2},  # 4 bit lines a weight of 8 bits
        "local_memory": {"kib": 1, **MEMORY},
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
                "grid": (1, 3),
                "cores": [{"kind": "core", "count": 3}],
                "noc": noc,
                "global_memory": {"kib": 1, **MEMORY},
            },
        }
    )


@pytest.fixture
def program() -> Program:
    first = """
    .layer 0
    setbw in=8, out=24
    loop times=2
      mvmul r1, r2, group=0
      loop times=3
        mvmul r1, r2, group=1
    .layer 1
    ld r2, r4, bytes=16
    send r1, bytes=12, core=1
    sync event=31, core=1
    """
    second = """
    .layer 1
    recv r1, bytes=12, core=0
    wait event=31, count=1
    vfun r1, r2, r3, n=4, function=0
    st r4, r1, bytes=4
    """
    codes = [assemble(first), assemble(second)]
    q = Quantization(0.1, -3, 8)
    block = Operand((2, 2), (1, 0), q)
    scale = np.array([0.5, 0.25], np.float32)
    function = Function("Mul", {"axis": -1, "pads": (0, 1)}, (block,), block, {1: scale}, 4)
    rng = np.random.default_rng(0)
    return Program(
        code=np.concatenate(codes),
        core_start=np.cumsum([0, *map(len, codes)]),
        groups=np.array([(0, 0, 0, 2, 16, 12, 2), (0, 1, 2, 1, 9, 4, 1)], np.int32),
        tiles=np.array(
            [
                (0, 0, 0, 0, 0, 0, 16, 0, 8, 0, 0),
                (0, 1, 0, 0, 0, 0, 16, 8, 4, 8, 0),
                (0, 1, 0, 16, 1, 1, 9, 0, 4, 0, 0),
            ],
            np.int32,
        ),
        matrices={
            "a": rng.integers(-128, 128, (16, 12)).astype(np.int16),
            "b": rng.integers(-128, 128, (10, 4)).astype(np.int16),
        },
        images=((0, 8, np.arange(5, dtype=np.uint8)), (1, 0, np.zeros(0, np.uint8))),
        functions=(function,),
        inputs=(Port("x", (1, 2, 8), (0, 2, 1), q, 0),),
        outputs=(Port("y", (4,), (0,), q, 16),),
        layers=("conv", "mul"),
        weight_bits=8,
        input_bits=8,
        local_bytes=np.array([1024, 100]),
        global_bytes=20,
    )
