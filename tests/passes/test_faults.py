"""Planted faults: each is caught, by a number that differs or by a rule that is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from imccompiler.errors import ProgramError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Replication
from imccompiler.program.isa import AUX, IMM, OP, RD, RS1, Op
from imccompiler.program.validate import validate

SEEDS = range(6)
TINY = {"chip.grid": [1, 3], "crossbar.rows": 32, "crossbar.rows_active": 32}


@pytest.fixture(scope="module", params=["summed", "separate"])
def good(map_nodes, request):
    """Two convolutions whose every value shows in the output.

    Parts have whole taps, so that they are sent nothing that they do not need, and each of the
    three cores has several groups, messages, partial sums and padding.
    """
    rng = np.random.default_rng(0)
    weights = {
        "v": rng.standard_normal((32, 4, 3, 3)).astype(np.float32),
        "w": rng.standard_normal((12, 32, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(12).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["h"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["h", "w", "b"], ["y"], "second", pads=[1, 1, 1, 1]),
    ]
    pins = {
        "first": (Replication(3, 1, 1, (3, 1)),),
        "second": (Replication(2, 3, 1, (2, 1)),),
    }
    sums = {"core.sums_row_blocks": request.param == "summed", "local_memory.kib": 256}
    machine = vary(load("isaac"), {**TINY, **sums})
    mapping = map_nodes(nodes, {"x": (1, 4, 8, 8)}, weights, machine, pins=pins)
    assert mapping.differing() == 0
    return mapping


def caught(mapping, program):
    """How a program is found out: by a rule, by its numbers, or not at all."""
    try:
        validate(program, mapping.machine)
        differing = mapping.differing(program)
    except ProgramError as error:
        return f"rule: {error}"
    return f"{differing} outputs differ" if differing else ""


def sites(program, *ops):
    return np.flatnonzero(np.isin(program.code[:, OP], ops))


def with_code(program, change):
    code = program.code.copy()
    change(code)
    return replace(program, code=code)


def without(program, rows):
    """The program without some instructions that stand in no loop."""
    keep = np.ones(len(program.code), np.bool_)
    keep[rows] = False
    before = np.concatenate([[0], np.cumsum(~keep)])
    return replace(
        program,
        code=program.code[keep],
        core_start=program.core_start - before[program.core_start],
    )


def loop_rows(program):
    """Instructions that stand in a loop, and the loops themselves."""
    inside = np.zeros(len(program.code), np.bool_)
    for at in sites(program, Op.LOOP).tolist():
        inside[at : at + 1 + program.code[at, AUX]] = True
    return inside


def pointers(program):
    """`sldi` whose register is used as a data address by the next operation."""
    found = []
    code = program.code
    for at in sites(program, Op.SLDI).tolist():
        for row in code[at + 1 : at + 12]:
            if row[OP] == Op.SLDI and row[RD] == code[at, RD]:
                break
            if row[OP] > Op.LOOP:
                if code[at, RD] in (row[RD], row[RS1]) and row[OP] not in (Op.LD, Op.ST):
                    found.append(at)
                break
    return np.array(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_address_is_caught(good, seed):
    rng = np.random.default_rng(seed)
    at = int(rng.choice(pointers(good.program)))
    shift = int(rng.choice([-3, 1, 2, 64]))

    def change(code):
        code[at, IMM] = max(0, code[at, IMM] + shift) if code[at, IMM] else shift % 7 + 1

    assert caught(good, with_code(good.program, change)), good.program.code[at]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", [Op.SEND, Op.RECV])
def test_a_dropped_side_of_a_message_is_caught(good, op, seed):
    program = good.program
    rows = sites(program, op)
    rows = rows[~loop_rows(program)[rows]]
    at = int(np.random.default_rng(seed).choice(rows))
    assert caught(good, without(program, [at]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dropped_message_is_caught(good, seed):
    """Both sides gone: the k-th of what one core sends to another, and its receipt."""
    program = good.program
    inside, core = loop_rows(program), cores_of(program)
    rng = np.random.default_rng(seed)
    sends, receives = sites(program, Op.SEND), sites(program, Op.RECV)
    while True:
        at = int(rng.choice(sends))
        source, target = int(core[at]), int(program.code[at, AUX])
        out = sends[(core[sends] == source) & (program.code[sends, AUX] == target)]
        back = receives[(core[receives] == target) & (program.code[receives, AUX] == source)]
        if len(out) == len(back) and not inside[np.concatenate([out, back])].any():
            break
    k = int(np.flatnonzero(out == at)[0])
    assert caught(good, without(program, [at, int(back[k])]))


def cores_of(program):
    return np.repeat(np.arange(program.core_count), np.diff(program.core_start))


def dependent_neighbours(program):
    """Pairs, one after the other, of which the second means something else before the first."""
    code, core, found = program.code, cores_of(program), []
    pointer, widths = {}, (0, 0)
    for at in range(len(code) - 1):
        first, second = code[at], code[at + 1]
        if at == 0 or core[at] != core[at - 1]:
            pointer, widths = {}, (0, 0)
        same_core = core[at] == core[at + 1]
        if same_core and (needs_pointer(first, second, pointer) or widens(first, second, widths)):
            found.append(at)
        if first[OP] == Op.SLDI:
            pointer[first[RD]] = first[IMM]
        elif first[OP] < Op.SETBW:
            pointer.pop(first[RD], None)
        elif first[OP] == Op.SETBW:
            widths = (first[IMM], first[AUX])
    return np.array(found)


def needs_pointer(first, second, pointer):
    """An operation at an address that `first` has just changed."""
    changes = first[OP] == Op.SLDI and pointer.get(first[RD]) != first[IMM]
    return changes and second[OP] > Op.LOOP and first[RD] in (second[RD], second[RS1])


def widens(first, second, widths):
    """A change of widths behind an operation that would be another at the new ones."""
    changed = second[[IMM, AUX]] != widths
    if second[OP] != Op.SETBW or first[OP] not in (Op.VVADD, Op.VVMUL, Op.VVSRA):
        return False
    return bool(changed[0] if first[OP] == Op.VVADD else changed.any())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_swapped_pair_of_instructions_is_caught(good, seed):
    """A pointer set after its use, or widths set before the operation ahead of them."""
    at = int(np.random.default_rng(seed).choice(dependent_neighbours(good.program)))

    def change(code):
        code[[at, at + 1]] = code[[at + 1, at]]

    assert caught(good, with_code(good.program, change)), good.program.code[at : at + 2]


def image_of(mapping, layer, entry):
    """An image with a layer's constants: its index, where they begin, and bytes of a value."""
    values = mapping.context.store[getattr(mapping.op(layer).integer, entry)].reshape(-1)
    for index, (_, _, data) in enumerate(mapping.program.images):
        for width in range(2, 9):
            wanted = np.ascontiguousarray(values[:4, None].astype("<i8").view(np.uint8)[:, :width])
            if (at := data.tobytes().find(wanted.tobytes())) >= 0:
                return index, at, width
    raise LookupError(f"no image holds the {entry} of {layer}")


@pytest.mark.parametrize("channel", [0, 3, 7])
@pytest.mark.parametrize("entry", ["multiplier", "shift", "bias"])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_wrong_scale_is_caught(good, layer, entry, channel):
    """The constants of one channel: half a multiplier, one bit more of shift, a bias far off."""
    program = good.program
    index, begin, width = image_of(good, layer, entry)
    images = list(program.images)
    core, address, data = images[index]
    at = slice(begin + channel * width, begin + (channel + 1) * width)
    value = int.from_bytes(data[at].tobytes(), "little", signed=True)
    value = {"multiplier": value // 2, "shift": value + 1, "bias": value + 20_000}[entry]
    data = data.copy()
    data[at] = np.frombuffer(value.to_bytes(width, "little", signed=True), np.uint8)
    images[index] = core, address, data
    assert caught(good, replace(program, images=tuple(images)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_weight_is_caught(good, seed):
    program = good.program
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(program.matrices)))
    matrix = program.matrices[name].copy()
    row, column = (int(rng.integers(n)) for n in matrix.shape)
    matrix[row, column] = 100 if matrix[row, column] < 0 else -100
    assert caught(good, replace(program, matrices={**program.matrices, name: matrix})), name


def weights_of_groups(program):
    """By core and group: which rectangles of which matrices its tiles hold."""
    return {
        (core, group): program.tiles[first : first + tiles, 4:9].tolist()
        for core, group, first, tiles, *_ in program.groups.tolist()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_group_is_caught(good, seed):
    """A product with another group of its core, that holds other weights."""
    program, core = good.program, cores_of(good.program)
    held = weights_of_groups(program)
    choices = [
        (at, group)
        for at in sites(program, Op.MVMUL).tolist()
        for (owner, group), weights in held.items()
        if owner == core[at] and weights != held[owner, int(program.code[at, IMM])]
    ]
    at, group = np.random.default_rng(seed).choice(choices)

    def change(code):
        code[at, IMM] = group

    assert caught(good, with_code(program, change))
