"""What each instruction costs on a machine, as tables for the timing kernel.

Times and energies come from the cost room. Instructions of a layer that differ only in addresses
share a row; each row stands once for every pair of bit widths that the program sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost import energy
from imccompiler.cost.host import HostTiming
from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.timing import CoreTiming
from imccompiler.hardware.cores import kind_numbers
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.program.artifact import Function, Program
from imccompiler.program.isa import AUX, IMM, OP, RD, RS1, RS2, Op
from imccompiler.program.tiles import CROSSBARS, OUTPUTS, ROWS, group_shapes
from imccompiler.simulator import timing_records as r
from imccompiler.simulator.functions import operand_bytes
from imccompiler.simulator.timing_code import core_of_instruction, group_rows, layer_of_instruction
from imccompiler.simulator.timing_energy import WRITES_OUTPUT_WIDTH, energies_pj, messages_pj

Ints = NDArray[np.int64]
Grid = Any
"""An int64 array that broadcasts to (rows of one kind of core and operation, width pairs)."""

_ONE_RESULT = frozenset({Op.VVDMUL, Op.VAVG})


@dataclass(frozen=True, slots=True)
class CostTables:
    """Costs of all instructions.

    Attributes:
        pairs: Bit widths (in, out), none first, shape (pairs, 2).
        row: First row of each instruction, to which its pair is added; shape (n,).
        target: Of `mvmul` and `mvwr` the row of their group, of `setbw` the index of its pair,
            else `aux`; shape (n,).
        costs: Shape (rows, COST_SIZE).
        energies: Shape (rows, components), in pJ.
        layer: Of each row, the number of layers for none; shape (rows,).
        noc_pj: Of messages and events by instruction, shape (n,).
    """

    pairs: NDArray[np.int32]
    row: Ints
    target: Ints
    costs: Ints
    energies: NDArray[np.float64]
    layer: Ints
    noc_pj: NDArray[np.float64]


def build(program: Program, machine: Machine) -> CostTables:
    """The tables of a program."""
    code, groups = np.asarray(program.code), group_rows(program)
    op, imm, aux = (code[:, column].astype(np.int64) for column in (OP, IMM, AUX))
    core, layer = core_of_instruction(program), layer_of_instruction(program)
    sets_widths = op == Op.SETBW
    set_pairs, set_pair = np.unique(code[sets_widths][:, [IMM, AUX]], axis=0, return_inverse=True)
    pairs = np.concatenate([np.zeros((1, 2), np.int32), set_pairs])
    target = np.where(groups >= 0, groups, aux)
    target[sets_widths] = set_pair.reshape(-1) + 1

    kinds, kind = tuple(machine.core_kinds.values()), kind_numbers(machine)[core]
    calls = (op == Op.VFUN) * (aux + 1)
    size = np.where(groups >= 0, _like_groups(program)[groups], imm)
    acts = op >= Op.MVMUL
    shapes, shape = _distinct(*(column[acts] for column in (kind, op, size, calls, layer)))
    row = np.zeros(len(code), np.int64)
    row[acts] = (shape + 1) * len(pairs)

    costs = np.zeros((len(shapes) + 1, len(pairs), r.COST_SIZE), np.int64)
    costs[:, :, [r.READ1_EXTENT, r.READ2_EXTENT, r.WRITE_EXTENT]] = r.NO_RANGE
    network = NetworkTiming.of(machine)
    for number, code_of_op in np.unique(shapes[:, :2], axis=0).tolist():
        chosen = 1 + np.flatnonzero((shapes[:, 0] == number) & (shapes[:, 1] == code_of_op))
        block = _Block(
            kind=kinds[number],
            core=CoreTiming.of(kinds[number], program.weight_bits),
            network=network,
            host=HostTiming.of(machine.host),
            op=Op(code_of_op),
            pairs=pairs.astype(np.int64),
            costs=costs[chosen],
        )
        _fill(block, program, shapes[chosen - 1, 2], shapes[chosen - 1, 3])
        costs[chosen] = block.costs
    forms = np.column_stack(
        [np.repeat(shapes, len(pairs), axis=0), np.tile(pairs.astype(np.int64), (len(shapes), 1))]
    )
    idle = np.zeros((len(pairs), len(energy.COMPONENTS)))
    messages = np.flatnonzero((op == Op.SEND) | (op == Op.SYNC))
    noc_pj = np.zeros(len(code))
    noc_pj[messages] = messages_pj(program, machine, messages, core[messages])
    return CostTables(
        pairs=pairs,
        row=row,
        target=target,
        costs=costs.reshape(-1, r.COST_SIZE),
        energies=np.concatenate([idle, energies_pj(program, machine, forms)]),
        layer=np.repeat(np.concatenate([[0], shapes[:, 4]]), len(pairs)),
        noc_pj=noc_pj,
    )


def _like_groups(program: Program) -> Ints:
    """For each group the first that costs the same, and an entry more that stands for none."""
    costs = np.column_stack([group_shapes(program), program.groups[:, [ROWS, OUTPUTS, CROSSBARS]]])
    _, first, like = np.unique(costs, axis=0, return_index=True, return_inverse=True)
    return np.append(first[like.reshape(-1)], -1)


def _distinct(*columns: Ints) -> tuple[Ints, Ints]:
    """Distinct rows and the row of each item."""
    order = np.lexsort(columns[::-1])
    rows = np.stack(columns, axis=1)[order]
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    index = np.empty(len(rows), np.int64)
    index[order] = np.cumsum(first) - 1
    return rows[first], index


@dataclass(frozen=True, slots=True)
class _Block:
    """The rows of one operation on one kind of core, being filled.

    Attributes:
        kind, core, network, host: Where it runs.
        op: The operation.
        pairs: Bit widths, shape (pairs, 2).
        costs: Shape (rows, pairs, COST_SIZE).
    """

    kind: CoreKind
    core: CoreTiming
    network: NetworkTiming
    host: HostTiming
    op: Op
    pairs: Ints
    costs: Ints

    @property
    def input_bytes(self) -> Ints:
        """Bytes of an input value, shape (pairs,)."""
        return -(-self.pairs[:, 0] // 8)

    @property
    def output_bytes(self) -> Ints:
        """Bytes of an output value, shape (pairs,)."""
        return -(-self.pairs[:, 1] // 8)

    @property
    def like_pimsim(self) -> bool:
        """Whether hazards are found as pimsim-nn finds them."""
        return self.kind.hazards == "pimsim"

    def touch(self, extent: int, column: int, size_bytes: Grid) -> None:
        """Set a range for hazards: register column and bytes; pimsim-nn counts one more."""
        self.costs[..., extent - 1] = column
        self.costs[..., extent] = size_bytes if self.like_pimsim else size_bytes - 1


def _fill(block: _Block, program: Program, size: Ints, function: Ints) -> None:
    if block.op in (Op.MVMUL, Op.MVWR):
        groups = program.groups[size].astype(np.int64)
        _fill_matrix(block, groups, group_shapes(program)[size])
    elif block.op == Op.VFUN:
        _fill_functions(block, [program.functions[i - 1] for i in function.tolist()], size)
    elif block.op < Op.LD:
        _fill_vector(block, size[:, None])
    else:
        _fill_transfer(block, size[:, None])


def _fill_matrix(block: _Block, groups: Ints, shapes: Ints) -> None:
    core, port, row_blocks = block.core, block.core.port, shapes[:, :1]
    if block.op == Op.MVWR:
        block.costs[..., r.COMPUTE_PS] = core.mvwr_ps()
        return
    i, o = block.input_bytes, block.output_bytes
    read = core.mvmul_read_bytes(row_blocks * i)
    written = core.mvmul_write_bytes(shapes[:, 1:] * o, 1)
    block.costs[..., r.READ_PS] = port.read_ps(read)
    block.costs[..., r.COMPUTE_PS] = core.mvm_ps(block.pairs[:, 0])
    block.costs[..., r.WRITE_PS] = port.write_ps(written)
    rows = core.rows * row_blocks if block.like_pimsim else groups[:, ROWS, None]
    block.touch(r.READ1_EXTENT, RS1, rows * i)
    block.touch(r.WRITE_EXTENT, RD, written if block.like_pimsim else groups[:, OUTPUTS, None] * o)


def _fill_vector(block: _Block, n: Grid) -> None:
    op, port = block.op, block.core.port
    i, o = block.input_bytes, block.output_bytes
    second = n * (o if op == Op.VVACC else i if op <= Op.VVDMUL else 0 * i)
    written = n * (o if op in WRITES_OUTPUT_WIDTH else i)
    block.costs[..., r.READ_PS] = port.read_ps(n * i) + port.read_ps(second)
    block.costs[..., r.COMPUTE_PS] = block.core.vector_compute_ps(n)
    block.costs[..., r.WRITE_PS] = port.write_ps(written)
    _vector_ranges(block, n)


def _vector_ranges(block: _Block, n: Grid) -> None:
    op, i, o = block.op, block.input_bytes, block.output_bytes
    if block.like_pimsim and op == Op.VMV:  # pimsim-nn never looks at its operands
        return
    block.touch(r.READ1_EXTENT, RS1, n * i)
    if op <= Op.VVDMUL:
        block.touch(r.READ2_EXTENT, RS2, n * i)
    elif op == Op.VVACC:
        block.touch(r.READ2_EXTENT, RD, n * o)
    wide = op in WRITES_OUTPUT_WIDTH or op in _ONE_RESULT
    if block.like_pimsim:  # and it takes another width here than for the time of these two
        wide = wide or op == Op.VRELU
        results = 1 if op == Op.VAVG else n
    else:
        results = 1 if op in _ONE_RESULT else n
    block.touch(r.WRITE_EXTENT, RD, results * (o if wide else i))


def _fill_functions(block: _Block, functions: Sequence[Function], n: Ints) -> None:
    core, port = block.core, block.core.port
    for index, (function, elements) in enumerate(zip(functions, n.tolist(), strict=True)):
        one = replace(block, costs=block.costs[index])
        sizes = [operand_bytes(operand) for operand in function.operands]
        written = operand_bytes(function.result)
        one.costs[..., r.READ_PS] = sum(port.read_ps(size) for size in sizes)
        one.costs[..., r.WRITE_PS] = port.write_ps(written)
        if function.on_host:
            one.costs[..., r.COMPUTE_PS] = block.host.call_ps(sum(sizes) + written)
        elif function.macs:
            one.costs[..., r.COMPUTE_PS] = core.product_compute_ps(function.macs)
        else:
            one.costs[..., r.COMPUTE_PS] = core.function_compute_ps(elements)
        one.touch(r.READ1_EXTENT, RS1, sizes[0])
        if len(sizes) > 1:
            one.touch(r.READ2_EXTENT, RS2, sum(sizes[1:]))
        one.touch(r.WRITE_EXTENT, RD, written)


def _fill_transfer(block: _Block, n: Grid) -> None:
    op, port, network, costs = block.op, block.core.port, block.network, block.costs
    if op in (Op.SYNC, Op.WAIT):
        return
    reads, writes = op in (Op.ST, Op.LMV, Op.SEND), op in (Op.LD, Op.LLDI, Op.LMV, Op.RECV)
    if reads:
        costs[..., r.READ_PS] = port.read_ps(n)
    if writes:
        costs[..., r.WRITE_PS] = port.write_ps(n)
    costs[..., r.FLITS] = network.flits(n)
    if op == Op.LD:
        costs[..., r.TRAVEL_PS] = network.flits(1) * network.global_flit_ps
        costs[..., r.GLOBAL_PS] = network.global_port.read_ps(n)
    elif op == Op.ST:
        costs[..., r.TRAVEL_PS] = network.flits(n) * network.global_flit_ps
        costs[..., r.GLOBAL_PS] = network.global_port.write_ps(n)
    _transfer_ranges(block, n, reads=reads, writes=writes)


def _transfer_ranges(block: _Block, n: Grid, *, reads: bool, writes: bool) -> None:
    at_zero = block.like_pimsim and block.op in (Op.LD, Op.ST)  # whatever the address
    if reads:
        block.touch(r.READ1_EXTENT, r.AT_ZERO if at_zero else RS1, n)
    if writes:
        one_byte = block.like_pimsim and block.op == Op.LLDI
        block.touch(r.WRITE_EXTENT, r.AT_ZERO if at_zero else RD, 1 if one_byte else n)
