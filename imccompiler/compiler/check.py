"""The check: the executed program against the integer reference and against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from imccompiler.compiler.arrays import Arrays
from imccompiler.compiler.runtime import difference, run_onnx, sqnr_db
from imccompiler.errors import InternalError, PassError, ProgramError
from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.passes.base import CompileContext
from imccompiler.passes.calibration import Calibration, calibration_inputs
from imccompiler.program.artifact import Program
from imccompiler.program.tiles import CORE
from imccompiler.report.schema import Check


def check_program(
    module: ModuleOp,
    context: CompileContext,
    model: Path | bytes | None,
    bindings: Mapping[str, int | float],
) -> Check:
    """Run one input through the program, the reference and the float network.

    The program runs with bit-serial inputs and bit-sliced weights, on ideal cells and with
    converters as wide as needed: all of its arithmetic, and no loss.

    Args:
        module: As the passes left it.
        context: As the passes left it; the input is the first calibration sample, else seeded.
        model: The float network, if there is one to compare with.
        bindings: Values of the model's scalar inputs.

    Raises:
        PassError: The pipeline emitted no program.
        InternalError: The program breaks a rule of the instruction set.
    """
    from imccompiler.simulator.execute import Executor  # noqa: PLC0415
    from imccompiler.simulator.reference import (  # noqa: PLC0415
        dequantize_outputs,
        quantize_inputs,
        run_reference,
    )

    program, machine = context.program, context.machine
    if program is None:
        raise PassError("there is no program to check", hint="the pipeline needs the pass `emit`")
    sample = _sample(module, context)
    codes = quantize_inputs(module, sample)
    expected = run_reference(module, context.store, codes)
    try:
        found = Executor(program, machine, mode="bit_serial").run(codes)
    except ProgramError as error:
        message = f"the emitted program breaks a rule: {error.message}"
        raise InternalError(message, where=error.where) from error
    reals, exact = dequantize_outputs(module, found), None
    if model is not None:
        floats = run_onnx(model, {name: array[None] for name, array in sample.items()}, bindings)
        exact = {name: floats[name] for name in reals}
    needed, available = _adc_bits(program, machine)
    differing = sum(int(np.count_nonzero(found[name] != expected[name])) for name in expected)
    return Check(
        bit_exact=differing == 0,
        differing=differing,
        compared=sum(array.size for array in expected.values()),
        input="calibration" if context.calibration else "seeded noise",
        onnxruntime_max_abs_diff=None if exact is None else difference(reals, exact),
        onnxruntime_sqnr_db=None if exact is None else sqnr_db(reals, exact),
        adc_bits_needed=needed,
        adc_bits=available,
    )


def _sample(module: ModuleOp, context: CompileContext) -> Arrays:
    """One input by port, in the port's shape."""
    first = Calibration(
        context.calibration, 1, context.seed, method="minmax", percentile=100.0, bits=8
    )
    return calibration_inputs(module, context.store, first)


def _adc_bits(program: Program, machine: Machine) -> tuple[int | None, int | None]:
    """Converter bits that the program needs to be exact, and that the machine has.

    Of several kinds of analog crossbar those that lack most.
    """
    from imccompiler.simulator.crossbars import adc_bits_of_groups  # noqa: PLC0415

    core = program.groups[:, CORE]
    analog = np.flatnonzero(~of_cores(machine, lambda kind: kind.crossbar.digital)[core])
    if not len(analog):
        return None, None
    needed = adc_bits_of_groups(program, machine)[analog]
    available = of_cores(machine, lambda kind: kind.crossbar.adc.bits)[core[analog]]
    worst = int((needed - available).argmax())
    return int(needed[worst]), int(available[worst])
