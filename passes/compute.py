"""Templates that compute: matrix products on crossbars, their completion, digital operators."""

from __future__ import annotations

from dataclasses import dataclass

from imccompiler.passes.blocks import Part, RowBlock
from imccompiler.passes.geometry import Box, Window2d
from imccompiler.passes.template import Template, TemplateBuilder
from imccompiler.program.isa import Op, byte_width

# registers
IN, OUT, FROM, TO, SECOND, MORE = 0, 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Widths:
    """Bit widths of a matrix product."""

    activation: int
    accumulator: int
    product: int
    result: int

    @property
    def input_bytes(self) -> int:
        """Bytes of an input code."""
        return byte_width(self.activation)


@dataclass(frozen=True, slots=True)
class PieceShape:
    """What one piece computes: the outputs of `box` from a box in memory, `reach`."""

    box: Box
    reach: Box

    @property
    def positions(self) -> int:
        """Windows."""
        return self.box.positions


def matmul_template(
    part: Part,
    window: Window2d,
    shape: PieceShape,
    widths: Widths,
    *,
    finish: int | None,
    columns_per_crossbar: int,
) -> Template:
    """Multiply every window of a piece, sum the row blocks; complete it if it is the whole sum.

    Buffers: 0 input box, where the first window begins, 1 sums (the first row block's plane),
    2 planes of the other row blocks, 3 gathered inputs; with `finish` (positions the constants
    cover) also 4 products, 5 bias, 6 multiplier, 7 shift, 8 result.
    Number 0: the part's first crossbar group.
    """
    b = TemplateBuilder()
    accumulator_bytes = byte_width(widths.accumulator)
    plane_bytes = shape.positions * part.columns * accumulator_bytes
    b.point(IN, 0)
    b.point(OUT, 1)
    if part.planes > 1:
        b.point(MORE, 2)
    step_x = window.stride[1] * shape.reach.channels * widths.input_bytes
    row = window.stride[0] * shape.reach.width * shape.reach.channels * widths.input_bytes
    b.widths(widths.activation, widths.accumulator)
    with b.loop(shape.box.height):
        with b.loop(shape.box.width):
            for group, call in enumerate(part.calls):
                source = _input_of(b, call.block, part, window, shape.reach, group, widths)
                column = (call.out0 - part.out0) * accumulator_bytes
                if call.plane == 0:
                    b.advance(TO, column, OUT)
                else:
                    b.advance(TO, (call.plane - 1) * plane_bytes + column, MORE)
                b.mvmul(TO, source, group)
            if shape.positions > 1:
                b.advance(IN, step_x)
                b.advance(OUT, part.columns * accumulator_bytes)
                if part.planes > 1:
                    b.advance(MORE, part.columns * accumulator_bytes)
        if shape.box.height > 1:
            b.advance(IN, row - shape.box.width * step_x)
    elements = shape.positions * part.columns
    for plane in range(1, part.planes):
        b.widths(widths.accumulator, widths.accumulator)
        b.point(OUT, 1)
        b.point(FROM, 2, (plane - 1) * plane_bytes)
        b.vector(Op.VVADD, OUT, OUT, FROM, elements)
    if finish is not None:
        _finish(b, shape.positions, part.columns, widths, finish, (1, 4, 5, 6, 7, 8))
    return b.build(part.shapes(columns_per_crossbar))


def gathered_bytes(part: Part, window: Window2d, reach: Box, code_bytes: int = 1) -> int:
    """Bytes of scratch for inputs that are not contiguous, 0 if there are none."""
    return code_bytes * sum(
        call.block.rows for call in part.calls if len(_pieces(call.block, part, window, reach)) > 1
    )


def accumulate_template(elements: int, widths: Widths) -> Template:
    """Add the partial sums of another core (buffer 1) to ours (buffer 0)."""
    b = TemplateBuilder()
    b.widths(widths.accumulator, widths.accumulator)
    b.point(OUT, 0)
    b.point(FROM, 1)
    b.vector(Op.VVADD, OUT, OUT, FROM, elements)
    return b.build()


def sum_template(elements: int, widths: Widths, *, local: bool) -> Template:
    """Add another share's sums (buffer 1), received from core number 0 unless `local`, to ours."""
    add = accumulate_template(elements, widths)
    if local:
        return add
    b = TemplateBuilder()
    b.point(0, 1)
    b.receive(0, elements * byte_width(widths.accumulator))
    return b.build().then(add)


def send_sum_template(size: int) -> Template:
    """Send all sums of a piece (buffer 0) to core number 0."""
    b = TemplateBuilder()
    b.point(0, 0)
    b.send(0, size)
    return b.build()


def finish_template(positions: int, columns: int, widths: Widths, constants: int) -> Template:
    """Complete sums: bias, multiplier, shift.

    Buffers: 0 sums, 1 products, 2 bias, 3 multiplier, 4 shift, 5 result.
    """
    b = TemplateBuilder()
    _finish(b, positions, columns, widths, constants, (0, 1, 2, 3, 4, 5))
    return b.build()


def _pieces(block: RowBlock, part: Part, window: Window2d, reach: Box) -> list[tuple[int, int]]:
    """Contiguous (offset, length) of a row block in the input box, relative to the window."""
    ty0, tx0 = part.taps_y[0], part.taps_x[0]
    pieces: list[tuple[int, int]] = []
    for s in block.segments:
        position = (s.tap_y - ty0) * window.dilation[0] * reach.width
        position += (s.tap_x - tx0) * window.dilation[1]
        offset = position * reach.channels + s.channel - reach.c0
        if pieces and sum(pieces[-1]) == offset:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + s.length)
        else:
            pieces.append((offset, s.length))
    return pieces


def _input_of(
    b: TemplateBuilder,
    block: RowBlock,
    part: Part,
    window: Window2d,
    reach: Box,
    group: int,
    widths: Widths,
) -> int:
    """Bring a row block's inputs together; returns the register that points to them."""
    pieces, size = _pieces(block, part, window, reach), widths.input_bytes
    if len(pieces) == 1:
        b.advance(FROM, pieces[0][0] * size, IN)
        return FROM
    before = sum(
        c.block.rows for c in part.calls[:group] if len(_pieces(c.block, part, window, reach)) > 1
    )
    done = 0
    for offset, length in pieces:
        b.advance(FROM, offset * size, IN)
        b.point(SECOND, 3, (before + done) * size)
        b.move(SECOND, FROM, length * size)
        done += length
    b.point(SECOND, 3, before * size)
    return SECOND


def _finish(
    b: TemplateBuilder,
    positions: int,
    columns: int,
    widths: Widths,
    constants: int,
    buffers: tuple[int, int, int, int, int, int],
) -> None:
    """Strips of `constants` positions: add bias, multiply, shift and saturate."""
    sums, products, bias, multiplier, shift, result = buffers
    accumulator_bytes, product_bytes = byte_width(widths.accumulator), byte_width(widths.product)
    result_bytes = byte_width(widths.result)
    done = 0
    for n, repeats in ((constants, positions // constants), (positions % constants, 1)):
        if n == 0 or repeats == 0:
            continue
        elements = n * columns
        start = done * columns
        b.point(0, sums, start * accumulator_bytes)
        b.point(1, bias)
        b.point(2, multiplier)
        b.point(3, products, start * product_bytes)
        b.point(4, shift)
        b.point(5, result, start * result_bytes)
        with b.loop(repeats, sets_widths=True):
            b.widths(widths.accumulator, widths.accumulator)
            b.vector(Op.VVADD, 0, 0, 1, elements)
            b.widths(widths.accumulator, widths.product)
            b.vector(Op.VVMUL, 3, 0, 2, elements)
            b.widths(widths.product, widths.result)
            b.vector(Op.VVSRA, 5, 3, 4, elements)
            if repeats > 1:
                b.advance(0, elements * accumulator_bytes)
                b.advance(3, elements * product_bytes)
                b.advance(5, elements * result_bytes)
        done += n * repeats


def max_pool_template(window: Window2d, shape: PieceShape, bits: int) -> Template:
    """Largest code of each window. Buffers: 0 input box, 1 result."""
    b = TemplateBuilder()
    channels = shape.box.channels
    taps = [
        (ky * window.dilation[0] * shape.reach.width + kx * window.dilation[1]) * channels
        for ky in range(window.kernel[0])
        for kx in range(window.kernel[1])
    ]
    whole_rows = window.stride[1] == 1
    elements = channels * (shape.box.width if whole_rows else 1)
    step_x = window.stride[1] * channels
    b.widths(bits, bits)
    b.point(IN, 0)
    b.point(OUT, 1)
    columns = 1 if whole_rows else shape.box.width
    with b.loop(shape.box.height):
        with b.loop(columns):
            if len(taps) == 1:
                b.vector(Op.VMV, OUT, IN, 0, elements)
            for index, tap in enumerate(taps[1:]):
                b.advance(FROM, tap, IN)
                b.vector(Op.VVMAX, OUT, IN if index == 0 else OUT, FROM, elements)
            if columns > 1:
                b.advance(IN, step_x)
            b.advance(OUT, elements)
        if shape.box.height > 1:
            row = window.stride[0] * shape.reach.width * channels
            b.advance(IN, row - (step_x * columns if columns > 1 else 0))
    return b.build()


def average_template(
    window: Window2d, shape: PieceShape, bits: int, sum_bits: int, product_bits: int
) -> Template:
    """Mean of each window's codes, requantised.

    Buffers: 0 input box, 1 one widened position, 2 sums, 3 products, 4 ones, 5 multiplier,
    6 offset, 7 shift, 8 result; all but the input and the result cover one position.
    """
    b = TemplateBuilder()
    channels = shape.box.channels
    step_x = window.stride[1] * channels
    row = shape.reach.width * channels
    tap_x = window.dilation[1] * channels
    tap_y = window.dilation[0] * row
    wide, total, tap = 2, 3, 4
    b.point(IN, 0)
    b.point(OUT, 8)
    b.point(5, 4)
    with b.loop(shape.box.height, sets_widths=True):
        with b.loop(shape.box.width, sets_widths=True):
            b.point(wide, 1)
            b.point(total, 2)
            b.fill(total, channels * byte_width(sum_bits), 0)
            b.advance(tap, 0, IN)
            with b.loop(window.kernel[0], sets_widths=True):
                with b.loop(window.kernel[1], sets_widths=True):
                    b.widths(bits, sum_bits)
                    b.vector(Op.VVMUL, wide, tap, 5, channels)
                    b.widths(sum_bits, sum_bits)
                    b.vector(Op.VVADD, total, total, wide, channels)
                    b.advance(tap, tap_x)
                b.advance(tap, tap_y - window.kernel[1] * tap_x)
            b.point(6, 3)
            b.widths(sum_bits, product_bits)
            for register, buffer, op in ((7, 5, Op.VVMUL), (7, 6, Op.VVADD)):
                b.point(register, buffer)
                b.vector(op, 6, total if op is Op.VVMUL else 6, register, channels)
                b.widths(product_bits, product_bits)
            b.point(7, 7)
            b.widths(product_bits, bits)
            b.vector(Op.VVSRA, OUT, 6, 7, channels)
            b.advance(OUT, channels * byte_width(bits))
            if shape.positions > 1:
                b.advance(IN, step_x)
        if shape.box.height > 1:
            b.advance(IN, window.stride[0] * row - shape.box.width * step_x)
    return b.build()


def add_template(
    elements: int, strip: int, bits: int, multiplier_bits: int, product_bits: int
) -> Template:
    """Sum of two tensors of different scales.

    Buffers: 0 and 1 operands, 2 ones (absent if multipliers are no wider than codes), 3 and 4
    multipliers, 5 offset, 6 shift, 7 widened operand, 8 and 9 products, 10 result; constants
    cover `strip` elements.
    """
    b = TemplateBuilder()
    wide = multiplier_bits > bits
    wide_bits = byte_width(multiplier_bits) * 8 if wide else bits
    code_bytes = byte_width(bits)
    done = 0
    for n, repeats in ((strip, elements // strip), (elements % strip, 1)):
        if n == 0 or repeats == 0:
            continue
        b.point(0, 0, done * code_bytes)
        b.point(1, 1, done * code_bytes)
        b.point(2, 10, done * code_bytes)
        with b.loop(repeats, sets_widths=True):
            for operand, multiplier, product in ((0, 3, 8), (1, 4, 9)):
                source = operand
                if wide:
                    b.widths(bits, wide_bits)
                    b.point(3, 7)
                    b.point(4, 2)
                    b.vector(Op.VVMUL, 3, operand, 4, n)
                    source = 3
                b.widths(wide_bits, product_bits)
                b.point(4, multiplier)
                b.point(5, product)
                b.vector(Op.VVMUL, 5, source, 4, n)
            b.widths(product_bits, product_bits)
            b.point(3, 8)
            b.point(4, 9)
            b.vector(Op.VVADD, 3, 3, 4, n)
            b.point(4, 5)
            b.vector(Op.VVADD, 3, 3, 4, n)
            b.widths(product_bits, bits)
            b.point(4, 6)
            b.vector(Op.VVSRA, 2, 3, 4, n)
            if repeats > 1:
                for register in (0, 1, 2):
                    b.advance(register, n * code_bytes)
        done += n * repeats
    return b.build()


def relu_template(elements: int, strip: int, bits: int) -> Template:
    """Codes no smaller than the zero point. Buffers: 0 operand, 1 zero points, 2 result."""
    b = TemplateBuilder()
    b.widths(bits, bits)
    done = 0
    for n, repeats in ((strip, elements // strip), (elements % strip, 1)):
        if n == 0 or repeats == 0:
            continue
        b.point(0, 0, done * byte_width(bits))
        b.point(1, 1)
        b.point(2, 2, done * byte_width(bits))
        with b.loop(repeats):
            b.vector(Op.VVMAX, 2, 0, 1, n)
            if repeats > 1:
                b.advance(0, n * byte_width(bits))
                b.advance(2, n * byte_width(bits))
        done += n * repeats
    return b.build()


def function_template(elements: int, index: int, operands: int) -> Template:
    """Call a digital function.

    Buffers: 0 and 1 the first two operands (the second followed by the others), last the result.
    """
    b = TemplateBuilder()
    b.widths(8, 8)  # a function's operands have their own widths; the unit wants some
    b.point(0, 0)
    if operands > 1:
        b.point(1, 1)
    b.point(2, min(operands, 2))
    b.function(2, 0, 1, elements, index)
    return b.build()
