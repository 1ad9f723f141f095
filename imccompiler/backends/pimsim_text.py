"""Unrolled instructions as pimsim-nn reads them: one JSON object each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imccompiler.program.isa import AUX, IMM, OP, RD, RS1, RS2, VECTOR_OPS, Code, Op

MISSING = frozenset({Op.MVWR, Op.VVACC, Op.VFUN})
"""Operations of ours that pimsim-nn does not have."""

# Fields by operation, each with the column that it is taken from.
_UNARY = {"rd": RD, "rs1": RS1, "len": IMM}
_FIELDS: Mapping[Op, Mapping[str, int]] = {
    **{op: _UNARY for op in map(Op, sorted(VECTOR_OPS)) if op not in MISSING},
    **{op: _UNARY | {"rs2": RS2} for op in map(Op, range(Op.VVADD, Op.VVDMUL + 1))},
    Op.SLDI: {"rd": RD, "imm": IMM},
    Op.SETBW: {"ibiw": IMM, "obiw": AUX},
    Op.MVMUL: {"rd": RD, "rs1": RS1, "group": IMM},
    Op.LD: {"rd": RD, "rs1": RS1, "size": IMM},
    Op.ST: {"rd": RD, "rs1": RS1, "size": IMM},
    Op.LLDI: {"rd": RD, "imm": AUX, "len": IMM},
    Op.LMV: {"rd": RD, "rs1": RS1, "len": IMM, "size": IMM},  # one for time, one for hazards
    Op.SEND: {"rd": RS1, "rs1": RS1, "core": AUX, "size": IMM},  # one for data, one for hazards
    Op.RECV: {"rd": RD, "core": AUX, "size": IMM},
    Op.SYNC: {"core": AUX, "event_register": IMM},
    Op.WAIT: {"event_register": IMM, "wait_value": AUX},
}


def formats(output_bits: int) -> Mapping[int, Callable[..., str]]:
    """What writes each operation, given the columns of an instruction.

    Args:
        output_bits: Bits of a row of cells that one output takes; pimsim-nn divides by it
            (`mbiw`) to count the outputs of a crossbar.
    """
    constants = {Op.MVMUL: f',"mbiw":{output_bits}'}
    made: dict[int, Callable[..., str]] = {}
    for op, fields in _FIELDS.items():
        values = "".join(f',"{name}":{{{column}}}' for name, column in fields.items())
        text = f'"op":"{op.name.lower()}"{values}{constants.get(op, "")}'
        made[int(op)] = ("{{" + text + "}}").format
    return made


def render(code: Code, written: Mapping[int, Callable[..., str]]) -> str:
    """Instructions as the inside of a JSON array, one a line; `written` is that of `formats`."""
    return ",\n".join([written[row[OP]](*row) for row in code.tolist()])
