"""One network of the corpus in a process of its own: compile, check, and measure the accuracy.

`corpus.py` starts it and reads the JSON line that it prints.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from corpus_fetch import CORPUS
from corpus_inputs import Case, Inputs, case_of

import imccompiler
from imccompiler.compiler import Compilation
from imccompiler.errors import DoesNotFitError, ImcError, InternalError

if TYPE_CHECKING:
    from imccompiler.report.schema import Check

ROOT = Path(__file__).parent.parent
PACKAGE = str(ROOT / "examples" / "isaac_package.yaml")
MACHINES = (("pimcomp",), ("pimcomp", "package.chips=4"), (PACKAGE,), ("hermes",))
"""Tried in turn: a chip; four; a package of 112; a chip that rewrites its cells in segments."""
WITHOUT_WEIGHTS = "7b"
"""Part of the names of networks that are compiled for shapes only."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one network.

    Shares are of the multiply-accumulates; SQNR is against ONNX Runtime (of QONNX operators,
    against ONNX's evaluator), on inputs that were not calibrated on.
    """

    network: str
    trained: bool
    natural_inputs: bool
    machine: str = ""
    chips: int = 1
    operators: int = 0
    crossbar_share: float = 0.0
    dynamic_share: float = 0.0
    host_share: float = 0.0
    on_host: str = ""
    segments: int = 1
    seconds: float = 0.0
    latency_ns: float | None = None
    bit_exact: bool | None = None
    sqnr_db: float | None = None
    max_abs_diff: float | None = None
    error: str = ""


def measure(name: str, *, hardware: str | None, effort: int) -> Row:
    """Compile a network for the first machine that holds it, check it, and judge its accuracy.

    Raises:
        ImcError: It cannot be compiled.
    """
    case, path = case_of(name), CORPUS / name
    calibration = held_out = None
    if case.inputs is not None:
        inputs = case.inputs(path, 2 * case.samples)
        calibration = {n: _along(a[::2]) for n, a in inputs.items()}
        held_out = {n: a[1::2] for n, a in inputs.items()}
    options: dict[str, Any] = {"bind": case.bindings, "effort": effort, "calibration": calibration}
    if WITHOUT_WEIGHTS in name:
        options["shapes_only"] = True
    else:
        options["check"] = True
    began = time.perf_counter()
    compiled = _on_a_machine(path if path.is_file() else name, hardware, options)
    return _row(name, case, compiled, time.perf_counter() - began, held_out)


def _along(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Samples along the port's own first axis."""
    return array.reshape(-1, *array.shape[2:])


def _on_a_machine(model: Path | str, hardware: str | None, options: dict[str, Any]) -> Compilation:
    machines = MACHINES if hardware is None else ((hardware,),)
    for machine, *overrides in machines[:-1]:
        try:
            return imccompiler.compile(model, machine, set=overrides, **options)
        except DoesNotFitError as error:
            print(f"{model}: {machine} {overrides}: {error}", file=sys.stderr)
    machine, *overrides = machines[-1]
    return imccompiler.compile(model, machine, set=overrides, **options)


def _row(
    name: str, case: Case, compiled: Compilation, seconds: float, held_out: Inputs | None
) -> Row:
    report = compiled.report
    coverage, check = report.coverage, report.check
    hosted = [o for o in coverage.operators if o.unit == "host"]
    return Row(
        network=name,
        trained=case.trained and held_out is not None,
        natural_inputs=held_out is not None,
        machine=report.hardware,
        chips=compiled.machine.package.chips,
        operators=sum(o.count for o in coverage.operators),
        crossbar_share=coverage.crossbar_share,
        dynamic_share=coverage.dynamic_share,
        host_share=coverage.host_share,
        on_host=", ".join(sorted({o.op_type for o in hosted})),
        segments=report.crossbars.segments if report.crossbars else 1,
        seconds=seconds,
        latency_ns=report.latency_ns,
        bit_exact=check.bit_exact if check else None,
        **_accuracy(compiled, check, held_out),
    )


def _accuracy(
    compiled: Compilation, check: Check | None, held_out: Inputs | None
) -> dict[str, Any]:
    """Of the integer reference, which the program equals, on held-out inputs; else the check's."""
    from imccompiler.compiler.runtime import difference, run_onnx, sqnr_db  # noqa: PLC0415
    from imccompiler.simulator.reference import (  # noqa: PLC0415
        dequantize_outputs,
        quantize_inputs,
        run_reference,
    )

    if held_out is None or compiled.model is None:
        sqnr = check.onnxruntime_sqnr_db if check else None
        return {"sqnr_db": sqnr, "max_abs_diff": check.onnxruntime_max_abs_diff if check else None}
    module = compiled.module
    codes = quantize_inputs(module, {n: _along(a) for n, a in held_out.items()})
    found = dequantize_outputs(module, run_reference(module, compiled.store, codes))
    exact = run_onnx(compiled.model, held_out, compiled.network.bindings)
    exact = {name: exact[name].reshape(found[name].shape) for name in found}
    return {"sqnr_db": sqnr_db(found, exact), "max_abs_diff": difference(found, exact)}


def main() -> None:
    """Print the row of the network that the only argument, a JSON object, names."""
    given = json.loads(sys.argv[1])
    name = given.pop("network")
    case = case_of(name)
    try:
        row = measure(name, **given)
    except ImcError as error:
        if isinstance(error, InternalError):
            traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        row = Row(name, case.trained, case.inputs is not None, error=text)
    except MemoryError:
        row = Row(name, case.trained, case.inputs is not None, error="out of memory")
    except Exception as error:  # noqa: BLE001 (what is not an ImcError is a finding)
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        row = Row(name, case.trained, case.inputs is not None, error=text)
    print(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
