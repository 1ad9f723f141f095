"""The emitted program: tables that say what was decided, streams that hang together."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import PassError
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.emit import EmitPass
from imccompiler.passes.taskgraph import Kind
from imccompiler.program.isa import AUX, IMM, LAYER, OP, Op
from imccompiler.program.text import disassemble
from imccompiler.program.validate import validate
from imccompiler.simulator.timing import simulate

HARDWARE = ("pimcomp", "isaac")


@pytest.fixture(scope="module", params=HARDWARE)
def lenet(mapped, request):
    return mapped("lenet", request.param, 0)


def test_programs_keep_the_rules_of_the_instruction_set(lenet):
    validate(lenet.program, lenet.machine)


def test_the_header_says_what_was_decided(lenet):
    program = lenet.program
    assert (program.weight_bits, program.input_bits) == (8, 8)
    assert [p.name for p in program.inputs] == ["image"]
    assert program.outputs[0].shape == (1, 10)
    names = [op.source.node for op in lenet.module.ops if isinstance(op, MatmulOp)]
    assert [n for n in program.layers if n in names] == names
    assert program.core_count == lenet.machine.core_count


def test_crossbars_hold_every_weight_of_every_copy(lenet):
    """Cells with a weight in them, counted in the tiles, are weights times copies."""
    program = lenet.program
    wanted = {}
    for op in lenet.module.ops:
        if isinstance(op, MatmulOp):
            weight = lenet.context.store[op.integer.weight]
            r = op.replication
            wanted[op.source.node] = np.count_nonzero(weight) * r.copies * r.unroll
    found = dict.fromkeys(wanted, 0)
    for tile in program.tiles.tolist():
        name = program.matrix_names[tile[4]]
        row, rows, column, columns = tile[5], tile[6], tile[7], tile[8]
        part = program.matrices[name][row : row + rows, column : column + columns]
        layer = next(n for n in wanted if name.startswith(f"{n}."))
        found[layer] += int(np.count_nonzero(part))
    assert found == wanted


def test_every_instruction_belongs_to_the_layer_that_it_works_for(lenet):
    code = lenet.program.code
    products = code[code[:, OP] == Op.MVMUL]
    names = {lenet.program.layers[layer] for layer in products[:, LAYER].tolist()}
    assert names == {op.source.node for op in lenet.module.ops if isinstance(op, MatmulOp)}
    assert {int(layer) for layer in code[:, LAYER]} <= set(range(len(lenet.program.layers)))


def messages(program, machine):
    """(source, target) pairs: how many bytes are sent, and received."""
    executed = {Op.SEND: {}, Op.RECV: {}}
    for core in range(program.core_count):
        begin, end = program.core_start[core : core + 2]
        times, ends = [1], [int(end)]
        for at in range(int(begin), int(end)):
            while ends[-1] <= at:
                times.pop()
                ends.pop()
            row = program.code[at]
            if row[OP] == Op.LOOP:
                times.append(times[-1] * int(row[IMM]))
                ends.append(at + 1 + int(row[AUX]))
            elif row[OP] in executed:
                peer = int(row[AUX])
                pair = (core, peer) if row[OP] == Op.SEND else (peer, core)
                table = executed[Op(row[OP])]
                table[pair] = table.get(pair, 0) + times[-1] * int(row[IMM])
    assert machine.core_count == program.core_count
    return executed[Op.SEND], executed[Op.RECV]


def test_what_is_sent_is_received(lenet):
    sent, received = messages(lenet.program, lenet.machine)
    assert sent == received
    planned = {}
    for task in lenet.plan.built.graph.tasks:
        if task.kind is Kind.MESSAGE:
            pieces, size = task.payload
            pair = (task.peer, task.core)
            planned[pair] = planned.get(pair, 0) + pieces * size
    assert sent == planned
    assert all(a != b for a, b in sent)


def test_products_are_as_many_as_windows(lenet):
    """Each window of each part multiplies once with each of its groups."""
    executed = simulate(lenet.program, lenet.machine).executed
    expected = 0
    for placed in lenet.plan.built.parts:
        r = placed.op.replication
        height, width = (*placed.op.result.type.get_shape()[2:], 1, 1)[:2]
        expected += len(placed.part.calls) * height * width / (r.unroll * r.copies)
    assert executed["mvmul"] == pytest.approx(expected)


def test_streams_are_readable(lenet):
    busiest = int(np.diff(lenet.program.core_start).argmax())
    text = disassemble(lenet.program, busiest)
    assert text.count("\n") >= np.diff(lenet.program.core_start)[busiest]
    assert "mvmul" in text


def test_without_an_order_there_is_nothing_to_emit(map_network, named_network):
    pipeline = "fold,canonicalize,quantize,partition,segment,replicate,place"
    mapping = map_network(named_network("lenet"), "pimcomp", pipeline=pipeline)
    with pytest.raises(PassError, match="no order"):
        EmitPass().run(mapping.context, mapping.module)
