from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imccompiler.program.isa import Op
from imccompiler.report import schema as s
from imccompiler.report.trace import Events
from imccompiler.simulator.timing import EVENT

Row = tuple[int, int, int, float, float]


@pytest.fixture
def report() -> s.Report:
    """A report with every section filled in."""
    energy = s.Energy(total=30.0, by_component={"adc": 20.0, "static": 10.0}, by_layer={"a": 20.0})
    layer = s.Layer(
        name="a",
        op_type="Conv",
        kind="crossbar",
        shape=(1, 8, 4, 4),
        macs=1152,
        rows=9,
        columns=8,
        copies=2,
        crossbars=2,
        cores=(0, 1, 2, 7),
        energy_pj=20.0,
        decisions={"tiling": {"rows": 1, "columns": 1, "slices": 4, "pack": 1}},
    )
    return s.Report(
        model="net",
        model_file="model.onnx",
        bindings={"batch": 1},
        opset=17,
        hardware="chip",
        objective="latency",
        effort=1,
        seed=0,
        pipeline="fold,emit",
        latency_ns=1500.0,
        interval_ns=1000.0,
        energy_pj=energy,
        area_mm2=2.5,
        power_mw=12.0,
        lower_bound=s.LowerBound(
            latency_ns=1000.0,
            interval_ns=900.0,
            energy_pj=25.0,
            binds=s.Binds(latency="critical path", interval="core 3", energy="conversions"),
        ),
        simulated=s.Simulated(
            images=4,
            latency_ns=1510.0,
            interval_ns=1005.0,
            energy_pj=energy,
            latency_deviation=0.0067,
            core_utilisation=(0.5, 0.25),
        ),
        crossbars=s.Crossbars(counting="physical", used=2, available=64, cell_utilisation=0.5),
        coverage=s.Coverage(
            operators=(
                s.OperatorCoverage(
                    op_type="Conv",
                    unit="crossbar",
                    count=1,
                    macs=1152,
                    elements=128,
                    reason="product with static weights",
                ),
            ),
            crossbar_macs=1152,
            dynamic_macs=0,
            host_macs=0,
            digital_elements=0,
            host_elements=0,
            crossbar_share=1.0,
            dynamic_share=0.0,
            host_share=0.0,
        ),
        check=s.Check(
            bit_exact=True,
            differing=0,
            compared=10,
            input="calibration",
            onnxruntime_max_abs_diff=0.125,
            onnxruntime_sqnr_db=35.5,
            adc_bits_needed=9,
            adc_bits=8,
        ),
        run=s.Run(
            samples=500,
            ideal=False,
            accuracy=0.974,
            onnxruntime_accuracy=0.98,
            onnxruntime_max_abs_diff=0.5,
            onnxruntime_sqnr_db=30.0,
        ),
        passes=(
            s.Pass(name="fold", options="fold{limit_mib=64}", seconds=0.25, solvers=()),
            s.Pass(
                name="emit",
                options="emit",
                seconds=0.5,
                solvers=(
                    s.Solver(solver="CP-SAT", status="optimal", value=7.0, bound=7.0, seconds=0.5),
                ),
            ),
        ),
        layers=(layer,),
        versions={"imccompiler": "0.1.0"},
        hashes=s.Hashes(model="m" * 64, network="n" * 64, hardware="h" * 64, program="p" * 64),
        notes=("something to know",),
    )


@pytest.fixture
def make_events() -> Callable[[list[Row]], Events]:
    """Events from rows (core, unit, layer, start_ns, end_ns)."""

    def make(rows: list[Row]) -> Events:
        op = (Op.MVMUL, Op.VVADD, Op.LD)
        return np.array([(c, u, n, op[u], a, b) for c, u, n, a, b in rows], dtype=EVENT)

    return make
