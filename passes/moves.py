"""Templates that move boxes and weights: copies, messages, fills, loads, stores; and that wait."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.geometry import Box
from imccompiler.passes.template import Template, TemplateBuilder

SOURCE, TARGET = 0, 1  # registers, and positions among a task's buffers


def walk(
    builder: TemplateBuilder,
    part: Box,
    boxes: tuple[tuple[int, Box], ...],
    element_bytes: int,
    piece: Callable[[int], None],
) -> None:
    """Visit the contiguous pieces of `part`, a register pointing into each of `boxes`.

    Args:
        builder: Registers already point to the first element of `part` in each box.
        part: What is visited.
        boxes: (register, box in memory) that contain `part`, up to a shift of positions.
        element_bytes: Bytes of an element.
        piece: Writes the instruction for one piece of so many bytes.
    """
    whole_channels = all(b.channels == part.channels for _, b in boxes)
    if whole_channels and all(b.width == part.width for _, b in boxes):
        piece(part.size * element_bytes)
        return
    if whole_channels:
        row_bytes = part.width * part.channels * element_bytes
        with builder.loop(part.height):
            piece(row_bytes)
            if part.height > 1:
                for register, box in boxes:
                    builder.advance(register, box.width * box.channels * element_bytes)
        return
    with builder.loop(part.height):
        with builder.loop(part.width):
            piece(part.channels * element_bytes)
            if part.width > 1 or part.height > 1:
                for register, box in boxes:
                    builder.advance(register, box.channels * element_bytes)
        if part.height > 1:
            for register, box in boxes:
                builder.advance(register, (box.width - part.width) * box.channels * element_bytes)


def copy_template(part: Box, source: Box, target: Box, element_bytes: int) -> Template:
    """Copy a part of a box to another on the same core.

    Buffers: source and target, at the part's first element.
    """
    b = TemplateBuilder()
    b.point(SOURCE, SOURCE)
    b.point(TARGET, TARGET)
    walk(
        b,
        part,
        ((SOURCE, source), (TARGET, target)),
        element_bytes,
        lambda n: b.move(TARGET, SOURCE, n),
    )
    return b.build()


def send_template(part: Box, source: Box, cuts: int, element_bytes: int) -> Template:
    """Send a part of a box, cut as `message_cuts` says. Buffer: the part's first element."""
    b = TemplateBuilder()
    b.point(SOURCE, 0)
    _walk_as(b, part, SOURCE, source, cuts, element_bytes, lambda n: b.send(SOURCE, n))
    return b.build()


def receive_template(part: Box, target: Box, cuts: int, element_bytes: int) -> Template:
    """Receive a part of a box, cut as `message_cuts` says. Buffer: the part's first element."""
    b = TemplateBuilder()
    b.point(TARGET, 0)
    _walk_as(b, part, TARGET, target, cuts, element_bytes, lambda n: b.receive(TARGET, n))
    return b.build()


def message_cuts(
    parts: NDArray[np.int64], sources: NDArray[np.int64], targets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How parts travel, contiguous in both boxes: 0 whole, 1 row by row, 2 each position.

    Given are height, width and channels of what is sent and of the boxes that it comes from and
    goes to, shape (n, 3); returned are the way and the pieces of each, shape (n,).
    """
    height, width, channels = parts.T
    whole_rows = (width == sources[:, 1]) & (width == targets[:, 1])
    whole_channels = (channels == sources[:, 2]) & (channels == targets[:, 2])
    cuts = np.where(whole_channels, np.where(whole_rows, 0, 1), 2)
    return cuts, np.choose(cuts, [np.ones_like(height), height, height * width])


def _walk_as(
    b: TemplateBuilder,
    part: Box,
    register: int,
    box: Box,
    kind: int,
    element_bytes: int,
    piece: Callable[[int], None],
) -> None:
    row = box.width * box.channels * element_bytes
    if kind == 0 or (kind == 1 and part.height == 1):
        piece(part.size * element_bytes)
    elif kind == 1:
        with b.loop(part.height):
            piece(part.width * part.channels * element_bytes)
            b.advance(register, row)
    else:
        with b.loop(part.height):
            with b.loop(part.width):
                piece(part.channels * element_bytes)
                if part.positions > 1:
                    b.advance(register, box.channels * element_bytes)
            if part.height > 1:
                b.advance(register, row - part.width * box.channels * element_bytes)


def fill_template(holes: tuple[Box, ...], box: Box, value: int, element_bytes: int = 1) -> Template:
    """Fill parts of a box with a code; byte by byte where its bytes differ."""
    b = TemplateBuilder()
    pattern = value.to_bytes(element_bytes, "little", signed=True)

    def piece(size: int) -> None:
        if len(set(pattern)) == 1:
            b.fill(TARGET, size, pattern[0])
            return
        with b.loop(size // element_bytes):
            for byte in pattern:
                b.fill(TARGET, 1, byte)
                b.advance(TARGET, 1)
        b.advance(TARGET, -size)

    for hole in holes:
        b.point(TARGET, 0, box.offset_of(hole, element_bytes))
        walk(b, hole, ((TARGET, box),), element_bytes, piece)
    return b.build()


def wait_template(periods: int) -> Template:
    """Let so many periods pass."""
    b = TemplateBuilder()
    b.idle(periods)
    return b.build()


def split_address(address: int) -> tuple[int, int]:
    """High and low half of a global address, both as an int32."""
    high = (address + 2**31) >> 32
    return high, address - (high << 32)


def fetch_template(high: int, size: int) -> Template:
    """Load bytes from the global memory; the task's number is the low half of their address."""
    local, pair = 0, 2
    b = TemplateBuilder()
    b.point(local, 0)
    b.constant(pair, high)
    b.number(pair + 1)
    b.load(local, pair, size)
    return b.build()


def write_template(groups: int) -> Template:
    """Program so many crossbar groups from the task's number on."""
    b = TemplateBuilder()
    for group in range(groups):
        b.program(group)
    return b.build()


def load_template(part: Box, whole: Box, address: int, element_bytes: int) -> Template:
    """Load `part` of a tensor that stands in global memory at `address` into a box of its own."""
    return _global_template(part, whole, address, element_bytes, load=True)


def store_template(part: Box, whole: Box, address: int, element_bytes: int) -> Template:
    """Store a box to its place in a tensor in global memory."""
    return _global_template(part, whole, address, element_bytes, load=False)


def _global_template(
    part: Box, whole: Box, address: int, element_bytes: int, *, load: bool
) -> Template:
    local, pair = 0, 2  # the pair's registers hold the high and the low half
    b = TemplateBuilder()
    b.point(local, 0)
    b.constant(pair, 0)
    b.constant(pair + 1, address + whole.offset_of(part, element_bytes))

    def piece(size: int) -> None:
        if load:
            b.load(local, pair, size)
        else:
            b.store(pair, local, size)

    walk(b, part, ((local, part), (pair + 1, whole)), element_bytes, piece)
    return b.build()


def holes_of(box: Box, inside: Box) -> tuple[Box, ...]:
    """The parts of `box` outside `inside` (rows above and below, then columns beside)."""
    holes: list[Box] = []
    y0, y1 = max(box.y0, inside.y0), min(box.y1, inside.y1)
    if y0 >= y1 or box.x0 >= inside.x1 or box.x1 <= inside.x0:
        return (box,)
    if box.y0 < y0:
        holes.append(box._replace(y1=y0))
    if box.y1 > y1:
        holes.append(box._replace(y0=y1))
    if box.x0 < inside.x0:
        holes.append(box._replace(y0=y0, y1=y1, x1=inside.x0))
    if box.x1 > inside.x1:
        holes.append(box._replace(y0=y0, y1=y1, x0=inside.x1))
    return tuple(holes)
