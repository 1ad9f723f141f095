"""Time of one operation of a core; the formulas of `docs/program.md`, section Time.

They are pimsim-nn's. Times of whole operations are those on an otherwise idle core; simulators
and schedulers, which know of other work, build on the parts (port accesses and computing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from imccompiler.cost.rounding import Count, ceil_div, larger, picoseconds, smaller
from imccompiler.hardware.schema import CoreKind, Crossbar, Memory
from imccompiler.hardware.weights import outputs_per_crossbar


@dataclass(frozen=True, slots=True)
class PortTiming:
    """A memory port: requests one after the other, each in whole accesses."""

    width_bytes: int
    read_access_ps: int
    write_access_ps: int

    @staticmethod
    def of(memory: Memory) -> PortTiming:
        """The port of a memory."""
        return PortTiming(
            memory.width_bytes, picoseconds(memory.read_ns), picoseconds(memory.write_ns)
        )

    def accesses(self, size_bytes: Count) -> Count:
        """Port accesses of one request; alignment does not matter."""
        return ceil_div(size_bytes, self.width_bytes)

    def read_ps(self, size_bytes: Count) -> Count:
        """Time of one read request."""
        return self.accesses(size_bytes) * self.read_access_ps

    def write_ps(self, size_bytes: Count) -> Count:
        """Time of one write request."""
        return self.accesses(size_bytes) * self.write_access_ps


def front_ns(crossbar: Crossbar, digit_bits: int | None = None) -> float:
    """F: driving the rows, settling and sampling for one input cycle.

    `digit_bits` counts where inputs are pulses; those of a whole digit if not given.
    """
    fixed = crossbar.dac_ns + crossbar.read_ns + crossbar.sample_hold_ns
    bits = crossbar.input_bits_per_cycle if digit_bits is None else digit_bits
    return fixed + crossbar.pulse_ns * pulses(bits)


def pulses(digit_bits: Count) -> Count:
    """Steps of the longest pulse of a digit, 2^bits - 1."""
    return cast("Count", (1 << digit_bits) - 1)


def cycle_ns(crossbar: Crossbar, digit_bits: int | None = None) -> float:
    """From one input cycle to the next: max(F, B) where they overlap, else F + B."""
    front, back = front_ns(crossbar, digit_bits), back_ns(crossbar)
    return max(front, back) if crossbar.pipelined else front + back


def back_ns(crossbar: Crossbar) -> float:
    """B: converting and adding up all columns, ceil(columns / ADCs) conversions one by one."""
    tail = crossbar.shift_add_ns + crossbar.output_buffer_ns
    conversions = ceil_div(crossbar.columns, crossbar.adc.per_crossbar)
    step = max(crossbar.adc.conversion_ns, tail)
    return crossbar.adc.conversion_ns + tail + (conversions - 1) * step


def input_cycles(crossbar: Crossbar, input_bits: Count) -> Count:
    """N: times that rows are driven for one product: digits of the input by row blocks."""
    row_blocks = ceil_div(crossbar.rows, crossbar.rows_active)
    return ceil_div(input_bits, crossbar.input_bits_per_cycle) * row_blocks


@dataclass(frozen=True, slots=True)
class CoreTiming:
    """Times of one kind of core at one weight width, all in picoseconds.

    Attributes:
        period_ps: Decoding one instruction.
        port: The local memory.
        front_ps: F without pulses.
        pulse_ps: One step of an input pulse.
        back_ps: B.
        pipelined: Whether reading and converting overlap: every further input cycle of a product
            then adds max(F, B), else F + B.
        write_crossbar_ps: Programming a whole crossbar, row after row.
        row_blocks: Parts in which the rows are driven.
        input_bits_per_cycle: Bits of the input in one cycle.
        rows: Word lines, all of which are read as input.
        input_reads: Times that `mvmul` reads its input.
        outputs_per_crossbar: Whole weights side by side.
        lanes, step_ps, function_steps: The vector unit.
        product_macs_per_step, product_step_ps: The unit for products of two activations (the
            digital matrix unit, else the vector unit).
    """

    period_ps: int
    port: PortTiming
    front_ps: int
    pulse_ps: int
    back_ps: int
    pipelined: bool
    write_crossbar_ps: int
    row_blocks: int
    input_bits_per_cycle: int
    rows: int
    input_reads: int
    outputs_per_crossbar: int
    lanes: int
    step_ps: int
    function_steps: int
    product_macs_per_step: int
    product_step_ps: int

    @staticmethod
    def of(kind: CoreKind, weight_bits: int) -> CoreTiming:
        """The times of a kind of core."""
        crossbar, vector, matrix = kind.crossbar, kind.vector, kind.matrix
        return CoreTiming(
            period_ps=picoseconds(kind.period_ns),
            port=PortTiming.of(kind.local_memory),
            front_ps=picoseconds(front_ns(crossbar, 0)),
            pulse_ps=picoseconds(crossbar.pulse_ns),
            back_ps=picoseconds(back_ns(crossbar)),
            pipelined=crossbar.pipelined,
            write_crossbar_ps=picoseconds(crossbar.rows * kind.cell.write_ns),
            row_blocks=ceil_div(crossbar.rows, crossbar.rows_active),
            input_bits_per_cycle=crossbar.input_bits_per_cycle,
            rows=crossbar.rows,
            input_reads=kind.input_reads,
            outputs_per_crossbar=outputs_per_crossbar(kind, weight_bits),
            lanes=vector.lanes,
            step_ps=picoseconds(vector.latency_ns),
            function_steps=vector.function_steps,
            product_macs_per_step=matrix.macs_per_step if matrix else vector.lanes,
            product_step_ps=picoseconds(matrix.step_ns if matrix else vector.latency_ns),
        )

    def mvm_ps(self, input_bits: Count) -> Count:
        """The crossbars' part of `mvmul`: F + B + (N - 1) max(F, B), or N (F + B)."""
        cycles = ceil_div(input_bits, self.input_bits_per_cycle) * self.row_blocks
        longest = pulses(smaller(input_bits, self.input_bits_per_cycle)) if self.pulse_ps else 0
        front: Any = self.front_ps + self.pulse_ps * longest
        first = front + self.back_ps
        further = larger(front, self.back_ps) if self.pipelined else first
        return (cycles - 1) * further + first

    def mvmul_read_bytes(self, input_bytes: Count, row_blocks: Any = 1) -> Count:
        """Bytes that `mvmul` reads for values of `input_bytes` bytes each."""
        return input_bytes * row_blocks * (self.rows * self.input_reads)

    def mvmul_write_bytes(self, crossbars: Count, output_bytes: Any) -> Count:
        """Bytes that `mvmul` writes for values of `output_bytes` bytes each."""
        return crossbars * (self.outputs_per_crossbar * output_bytes)

    def mvmul_ps(
        self, input_bits: int, crossbars: Count, output_bits: Any, row_blocks: Any = 1
    ) -> Count:
        """`mvmul` on a group: read the input, multiply, write the outputs.

        All crossbars work at once: `row_blocks` above one another, whose outputs are added on
        the way out, times `crossbars` side by side.
        """
        read = self.port.read_ps(self.mvmul_read_bytes(ceil_div(input_bits, 8), row_blocks))
        written = self.port.write_ps(self.mvmul_write_bytes(crossbars, ceil_div(output_bits, 8)))
        return written + (read + self.mvm_ps(input_bits))

    def mvwr_ps(self) -> int:
        """`mvwr`: all crossbars of a group at once."""
        return self.write_crossbar_ps

    def vector_compute_ps(self, elements: Count) -> Count:
        """The vector unit's part of an integer instruction."""
        return ceil_div(elements, self.lanes) * self.step_ps

    def vector_ps(
        self, elements: Count, operands: int, read_bytes: Count, written_bytes: Count
    ) -> Count:
        """An integer vector instruction: one read of `read_bytes` an operand, compute, write."""
        reads = self.port.read_ps(read_bytes) * operands
        return reads + self.vector_compute_ps(elements) + self.port.write_ps(written_bytes)

    def function_compute_ps(self, elements: Count) -> Count:
        """The vector unit's part of a digital function."""
        return self.vector_compute_ps(elements) * self.function_steps

    def product_compute_ps(self, macs: Count) -> Count:
        """Product of two activations on the digital matrix unit, else on the vector unit."""
        return ceil_div(macs, self.product_macs_per_step) * self.product_step_ps

    def lmv_ps(self, size_bytes: Count) -> Count:
        """`lmv`: read and write."""
        return self.port.read_ps(size_bytes) + self.port.write_ps(size_bytes)

    def lldi_ps(self, size_bytes: Count) -> Count:
        """`lldi`: write."""
        return self.port.write_ps(size_bytes)
