"""Task graphs: topological, each byte written before it is read, templates linked as written."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import InternalError
from imccompiler.passes.geometry import Box
from imccompiler.passes.moves import copy_template, message_cuts
from imccompiler.passes.ragged import Lists, distinct
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Side, Sides
from imccompiler.passes.template import TemplateBuilder
from imccompiler.program.isa import AUX, IMM, OP, Op

HARDWARE = ("pimcomp", "isaac")
NETWORKS = [(n, h) for n in ("lenet", "squeezenet", "bert-tiny") for h in HARDWARE]


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def built(mapped, request):
    return mapped(*request.param, 0).plan.built


def test_tasks_stand_in_topological_order(built):
    kinds = built.graph.kind
    for number, before in enumerate(built.graph.predecessors):
        assert all(p < number for p in before)
        assert len(set(before)) == len(before) or kinds[number] == Kind.DIGITAL


def test_each_side_uses_the_memory_of_its_own_core(built):
    graph = built.graph
    for task in graph.tasks:
        assert (task.sender is not None) == (task.peer >= 0) == (task.kind is Kind.MESSAGE)
        assert task.peer != task.core
        for core, side in ((task.core, task.side), (task.peer, task.sender)):
            if side is not None:
                assert {graph.buffer_core[b] for b in side.buffers} <= {core}


def test_both_sides_of_a_message_are_of_one_size(built):
    templates = built.graph.templates
    for task in built.graph.tasks:
        if task.kind is Kind.MESSAGE:
            pieces, size = task.payload
            assert transferred(templates[task.sender.template], Op.SEND) == [size] * pieces
            assert transferred(templates[task.side.template], Op.RECV) == [size] * pieces


def transferred(template, op):
    """Sizes of a template's transfers of a kind, in the order of execution."""
    sizes, rows = [], template.code.tolist()

    def run(begin, end):
        at = begin
        while at < end:
            if rows[at][OP] == Op.LOOP:
                for _ in range(rows[at][IMM]):
                    run(at + 1, at + 1 + rows[at][AUX])
                at += rows[at][AUX]
            elif rows[at][OP] == op:
                sizes.append(rows[at][IMM])
            at += 1

    run(0, len(rows))
    return sizes


def test_tiles_of_every_value_cover_it_once(built):
    for value in built.values.values():
        boxes = [box for _, box in value.tiles.places]
        assert sum(box.size for box in boxes) == value.layout.whole.size
        for i, box in enumerate(boxes):
            assert not any(box.meets(other) for other in boxes[:i])
        assert (value.tiles.done.counts > 0).all()


def test_nothing_is_moved_in_vain(built):
    """Every message and copy is waited for."""
    graph = built.graph
    read = {p for before in graph.predecessors for p in before}
    ends = {t.kind for i, t in enumerate(graph.tasks) if i not in read}
    assert Kind.STORE in ends
    assert not ends & {Kind.MESSAGE, Kind.COPY}


def test_buffers_are_numbered_as_they_come():
    builder = GraphBuilder()
    assert builder.buffer(3, 10) == 0
    assert builder.constant(1, np.arange(4, dtype=np.uint8)) == 1
    assert builder.buffers(np.array([3, 2]), np.array([0, 7])).tolist() == [2, 3]
    graph = builder.finish()
    # no buffer is empty: each has an address of its own
    assert (graph.buffer_core.tolist(), graph.buffer_bytes.tolist()) == (
        [3, 1, 3, 2],
        [10, 4, 1, 7],
    )
    assert list(graph.constants) == [1]
    assert builder.bytes_of_cores(5).tolist() == [0, 4, 7, 11, 0]


def test_tasks_added_one_by_one_and_together_are_alike():
    """A graph that is built both ways reads the same."""
    one, many = GraphBuilder(), GraphBuilder()
    for builder in (one, many):
        builder.template(TemplateBuilder().build())
        builder.buffers(np.arange(3), np.ones(3, np.int64))
    for i in range(3):
        one.add(Kind.COPY, i, 4, 9 - i, Side(0, (i, 2 - i), i, (0, 5)), range(i))
    buffers = np.array([[0, 2], [1, 1], [2, 0]])
    sides = Sides(np.zeros(3, np.int64), buffers, np.arange(3), np.array([[0, 5]] * 3))
    before = Lists.of([(), (0,), (0, 1)])
    many.add_many(Kind.COPY, np.arange(3), 4, np.array([9, 8, 7]), sides, before)
    assert one.finish().tasks == many.finish().tasks
    assert one.finish().predecessors == many.finish().predecessors == [(), (0,), (0, 1)]


def test_rows_of_one_kind_are_found():
    columns = np.random.default_rng(0).integers(0, 4, (3, 200))
    first, kind = distinct(*columns)
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    assert sorted(rows[i] for i in first) == sorted(set(rows))
    assert [rows[first[k]] for k in kind] == rows


def test_lists_are_picked():
    lists = Lists.of([(1, 2), (), (3,)])
    picked = lists.pick(np.array([2, 0, 1]))
    assert (picked.counts.tolist(), picked.values.tolist()) == ([1, 2, 0], [3, 1, 2])


# ---- templates


def test_widths_are_set_where_they_change():
    b = TemplateBuilder()
    for bits in ((8, 8), (8, 8), (8, 16), (8, 8)):
        b.widths(*bits)
        b.vector(Op.VVADD, 0, 0, 1, 4)
    code = b.build().code
    assert (code[:, OP] == Op.SETBW).sum() == 3


def test_a_loop_that_changes_widths_says_so():
    b = TemplateBuilder()
    b.widths(8, 8)
    with pytest.raises(InternalError, match="changes bit widths"), b.loop(3):
        b.widths(8, 16)
    b = TemplateBuilder()
    b.widths(8, 8)
    with b.loop(3, sets_widths=True):
        b.widths(8, 8)
        b.widths(8, 16)
    assert (b.build().code[:, OP] == Op.SETBW).sum() == 3  # the second round begins with 8, 16


def test_loops_of_one_round_are_written_out():
    b = TemplateBuilder()
    with b.loop(1):
        b.advance(0, 5)
    with b.loop(2):
        b.advance(0, 5)
        b.advance(0, 0)  # changes nothing
    assert b.build().code[:, OP].tolist() == [Op.SADDI, Op.LOOP, Op.SADDI]


def test_joined_templates_keep_their_places():
    first, second = TemplateBuilder(), TemplateBuilder()
    first.constant(4, 7)
    first.point(0, 1)
    second.point(0, 0, 12)
    joined = first.build().then(second.build())
    assert [(r.row, r.operand) for r in joined.relocations] == [(1, 1), (2, 0)]
    assert joined.code[2, IMM] == 12


@pytest.mark.parametrize(
    ("part", "source", "target", "cuts", "pieces"),
    [
        (Box(0, 2, 0, 3, 0, 4), Box(0, 5, 0, 3, 0, 4), Box(0, 2, 0, 3, 0, 4), 0, 1),
        (Box(0, 2, 0, 3, 0, 4), Box(0, 2, 0, 6, 0, 4), Box(0, 2, 0, 3, 0, 4), 1, 2),
        (Box(0, 2, 0, 3, 0, 4), Box(0, 2, 0, 3, 0, 4), Box(0, 2, 0, 3, 0, 9), 2, 6),
    ],
)
def test_messages_are_cut_where_either_box_is_not_dense(part, source, target, cuts, pieces):
    shapes = (np.array([box.shape]) for box in (part, source, target))
    assert [found.tolist() for found in message_cuts(*shapes)] == [[cuts], [pieces]]


def test_a_copy_between_boxes_of_one_shape_is_one_move():
    whole = Box(0, 4, 0, 5, 0, 3)
    assert transferred(copy_template(whole, whole, whole, 2), Op.LMV) == [120]
    part = Box(1, 3, 1, 4, 0, 3)
    assert transferred(copy_template(part, whole, part, 1), Op.LMV) == [9, 9]
    part = Box(1, 3, 1, 4, 1, 3)
    assert transferred(copy_template(part, whole, part, 1), Op.LMV) == [2] * 6
