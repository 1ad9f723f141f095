"""Planted faults: each is caught, by a number that differs or by a rule that is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imccompiler.errors import ProgramError
from imccompiler.program.isa import AUX, IMM, OP, RD, RS1, Op
from imccompiler.program.validate import validate

SEEDS = range(6)
NETWORKS = [("digits-cnn", "pimcomp"), ("lenet", "isaac"), ("bert-tiny", "pimcomp")]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda pair: "-".join(pair))
def good(mapped, request):
    mapping = mapped(*request.param, 0)
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
    """Pairs of instructions, one after the other, of which the second needs the first."""
    code, core = program.code, cores_of(program)
    first, second = code[:-1], code[1:]
    same = core[:-1] == core[1:]
    writes = (first[:, OP] >= Op.VVADD) & (first[:, OP] <= Op.VVACC)
    pointer = (first[:, OP] == Op.SLDI) & (second[:, OP] > Op.LOOP)
    uses = (second[:, RD] == first[:, RD]) | (second[:, RS1] == first[:, RD])
    widths = writes & (second[:, OP] == Op.SETBW)
    return np.flatnonzero(same & ((pointer & uses) | widths))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_swapped_pair_of_instructions_is_caught(good, seed):
    """A pointer set after its use, or widths set before the operation ahead of them."""
    at = int(np.random.default_rng(seed).choice(dependent_neighbours(good.program)))

    def change(code):
        code[[at, at + 1]] = code[[at + 1, at]]

    assert caught(good, with_code(good.program, change)), good.program.code[at : at + 2]


def constants(mapping, entry):
    """Indices of the images that hold some layer's multipliers (or shifts, or biases)."""
    from imccompiler.ir.dialect import MatmulOp  # noqa: PLC0415

    wanted = [
        mapping.context.store[getattr(op.integer, entry)].reshape(-1)
        for op in mapping.module.ops
        if isinstance(op, MatmulOp)
    ]
    found = []
    for index, (_, _, data) in enumerate(mapping.program.images):
        for values in wanted:
            for width in (3, 4, 5, 6, 7, 8):
                head = np.array(values[:1], np.int64).view(np.uint8)[:width]
                if values.any() and len(data) >= width * len(values) > 0:
                    coded = np.stack(
                        [np.array([v], np.int64).view(np.uint8)[:width] for v in values[:4]]
                    ).reshape(-1)
                    if (data[: len(coded)] == coded).all() and head.any():
                        found.append(index)
    return sorted(set(found))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("entry", ["multiplier", "bias"])
def test_a_wrong_scale_is_caught(good, entry, seed):
    """One bit of the second byte of one channel's constant."""
    program = good.program
    rng = np.random.default_rng(seed)
    index = int(rng.choice(constants(good, entry)))
    images = list(program.images)
    core, address, data = images[index]
    data = data.copy()
    data[1] ^= 0x40
    images[index] = core, address, data
    assert caught(good, replace(program, images=tuple(images)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_weight_is_caught(good, seed):
    program = good.program
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(program.matrices)))
    matrix = program.matrices[name].copy()
    row, column = (int(rng.integers(n)) for n in matrix.shape)
    matrix[row, column] = -matrix[row, column] - 64 if matrix[row, column] < 0 else -100
    assert caught(good, replace(program, matrices={**program.matrices, name: matrix})), name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_group_is_caught(good, seed):
    """A product with the next group of its core, where there is one."""
    program = good.program
    rng = np.random.default_rng(seed)
    core = cores_of(program)
    groups = np.bincount(program.groups[:, 0], minlength=program.core_count)
    rows = sites(program, Op.MVMUL)
    rows = rows[groups[core[rows]] > 1]
    at = int(rng.choice(rows))

    def change(code):
        code[at, IMM] = (code[at, IMM] + 1) % groups[core[at]]

    assert caught(good, with_code(program, change))
