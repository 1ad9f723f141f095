from __future__ import annotations

from dataclasses import replace

import numpy as np

from imccompiler.compiler import Compilation
from imccompiler.compiler.check import check_program
from imccompiler.errors import InternalError
from imccompiler.passes.base import CompileContext
from imccompiler.program.artifact import Program
from imccompiler.program.isa import IMM, OP, RD, Op


def with_program(compilation: Compilation, program: Program) -> CompileContext:
    return replace(compilation.context, program=program)


def test_program_equals_the_reference(compiled: Compilation) -> None:
    check = compiled.report.check
    assert check is not None
    assert check.bit_exact
    assert (check.differing, check.compared, check.input) == (0, 10, "calibration")
    assert check.onnxruntime_sqnr_db is not None
    assert check.onnxruntime_sqnr_db > 25
    assert check.adc_bits == 8
    assert check.adc_bits_needed is not None
    assert 1 <= check.adc_bits_needed <= 9


def test_wrong_weight_is_caught(compiled: Compilation) -> None:
    assert compiled.program is not None
    matrices = {name: -codes for name, codes in compiled.program.matrices.items()}
    context = with_program(compiled, replace(compiled.program, matrices=matrices))
    check = check_program(compiled.module, context, None, {})
    assert not check.bit_exact
    assert check.differing > 0
    assert check.onnxruntime_max_abs_diff is None


def test_wrong_address_is_caught(compiled: Compilation) -> None:
    assert compiled.program is not None
    code = np.array(compiled.program.code)
    loads = np.flatnonzero(code[:, OP] == Op.SLDI)
    caught = 0
    for row in loads:
        if code[row, RD] != 0:
            continue
        wrong = code.copy()
        wrong[row, IMM] += 1
        context = with_program(compiled, replace(compiled.program, code=wrong))
        try:
            caught += not check_program(compiled.module, context, None, {}).bit_exact
        except InternalError:
            caught += 1
    assert caught > 0
