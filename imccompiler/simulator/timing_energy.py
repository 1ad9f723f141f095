"""What instructions spend on a machine, in picojoules by component."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost import energy
from imccompiler.cost.host import host_pj
from imccompiler.cost.places import Places
from imccompiler.cost.timing import CoreTiming
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, OP, Op
from imccompiler.program.tiles import CROSSBARS, group_shapes
from imccompiler.simulator.functions import operand_bytes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FORM_KIND, FORM_OP, FORM_COUNT, FORM_FUNCTION, FORM_LAYER, FORM_IN, FORM_OUT, FORM_SIZE = range(8)
"""Columns of a form, which instructions share that differ only in addresses.

The kind of core (its place in `Machine.core_kinds`), the operation, the row of the group table
that it drives or else its `imm`, the function that it calls (counted from 1, 0 for none), its
layer (their number for none), and bits of inputs and outputs as `setbw` sets them.
"""

WRITES_OUTPUT_WIDTH = frozenset({Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVACC, Op.VTANH, Op.VSIGM})


def energies_pj(program: Program, machine: Machine, forms: Ints) -> Floats:
    """Energy of an instruction of each form, its message left out; shape (forms, components)."""
    spent = np.zeros((len(forms), len(energy.COMPONENTS)))
    kinds = tuple(machine.core_kinds.values())
    operation = forms[:, FORM_OP] * len(kinds) + forms[:, FORM_KIND]
    for number in np.unique(operation).tolist():
        op, kind = divmod(number, len(kinds))
        chosen = np.flatnonzero(operation == number)
        for energies in _parts(program, machine, kinds[kind], Op(op), forms[chosen]):
            for component, value in energies.items():
                spent[chosen, energy.COMPONENTS.index(component)] += value
    return spent


def messages_pj(program: Program, machine: Machine, index: Ints, core: Ints) -> Floats:
    """Energy in the network of `send`s (their `recv` included) and `sync`s.

    Args:
        program: The program.
        machine: The machine.
        index: Of the instructions, shape (n,).
        core: Of each of them, shape (n,).

    Returns:
        Shape (n,).
    """
    op, size, to = program.code[index][:, [OP, IMM, AUX]].astype(np.int64).T
    places = Places.of(machine)
    away = places.hops(core, to), places.links(core, to)
    one = energy.message_pj(machine, 1, *away)["noc"]
    return np.where(op == Op.SEND, energy.send_pj(machine, size, *away)["noc"], one)


def _parts(
    program: Program, machine: Machine, kind: CoreKind, op: Op, forms: Ints
) -> list[energy.Energies]:
    """Energies of forms of one operation, to be added up."""
    n = forms[:, FORM_COUNT]
    i, o = -(-forms[:, FORM_IN] // 8), -(-forms[:, FORM_OUT] // 8)
    if op == Op.MVWR:
        return [energy.mvwr_pj(kind, program.groups[n, CROSSBARS].astype(np.int64))]
    if op == Op.MVMUL:
        core = CoreTiming.of(kind, program.weight_bits)
        row_blocks, wide = group_shapes(program)[n].T
        crossbars = program.groups[n, CROSSBARS].astype(np.int64)
        read, written = core.mvmul_read_bytes(row_blocks * i), core.mvmul_write_bytes(wide * o, 1)
        return [
            energy.mvm_pj(kind, forms[:, FORM_IN], crossbars),
            energy.local_memory_pj(kind, read, written),
        ]
    if op == Op.VFUN:
        return _functions(program, machine, kind, forms)
    if op < Op.LD:
        second = n * (o if op == Op.VVACC else i if op <= Op.VVDMUL else 0)
        return [
            energy.vector_pj(kind, n),
            energy.local_memory_pj(kind, n * i, n * (o if op in WRITES_OUTPUT_WIDTH else i)),
            energy.local_memory_pj(kind, second, 0),
        ]
    return _transfers(machine, kind, op, n)


def _transfers(machine: Machine, kind: CoreKind, op: Op, n: Ints) -> list[energy.Energies]:
    """Energies of transfers of `n` bytes, without messages between cores."""
    if op == Op.LD:
        return [energy.ld_pj(machine, kind, n)]
    if op == Op.ST:
        return [energy.st_pj(machine, kind, n)]
    reads, writes = op in (Op.LMV, Op.SEND), op in (Op.LLDI, Op.LMV, Op.RECV)
    return [energy.local_memory_pj(kind, n * reads, n * writes)] if reads or writes else []


def _functions(
    program: Program, machine: Machine, kind: CoreKind, forms: Ints
) -> list[energy.Energies]:
    """Energies of digital functions: an operand after the other, the result, the computing."""
    called = [program.functions[number - 1] for number in forms[:, FORM_FUNCTION].tolist()]
    macs = np.array([function.macs for function in called])
    most = max(len(function.operands) for function in called)
    sizes = np.zeros((len(called), most), np.int64)
    for row, function in zip(sizes, called, strict=True):
        row[: len(function.operands)] = [operand_bytes(o) for o in function.operands]
    written = np.array([operand_bytes(function.result) for function in called])
    away = np.array([function.on_host for function in called])
    return [
        *(energy.local_memory_pj(kind, size, 0) for size in sizes.T),
        energy.local_memory_pj(kind, 0, written),
        energy.product_pj(kind, macs),
        energy.function_pj(kind, np.where((macs > 0) | away, 0, forms[:, FORM_COUNT])),
        host_pj(machine.host, np.where(away, sizes.sum(axis=1) + written, 0)),
    ]
