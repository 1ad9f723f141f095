"""Times of single operations as plain floats: the cost model, bound to one machine once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from imccompiler.hardware.schema import Machine


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """Times on the machine's main kind of core, in ns (docs/program.md, 'Time')."""

    width: int
    read_access_ns: float
    write_access_ns: float
    lanes: int
    step_ns: float
    mvm_pass_ns: float
    rows: int
    outputs_per_crossbar: int
    flit_bytes: int
    mean_flit_ns: float
    function_steps: int
    macs_per_step: int
    matrix_step_ns: float
    period_ns: float
    input_reads: int
    global_width: int
    global_read_access_ns: float
    global_write_access_ns: float

    @staticmethod
    @lru_cache(maxsize=256)
    def of(machine: Machine) -> CoreTimes:
        """Of a machine."""
        kind = machine.main_kind
        x, memory, noc = kind.crossbar, kind.local_memory, machine.chip.noc
        slices = ceil(machine.weight_bits / kind.cell.bits)
        per_weight = slices * (2 if x.signed_weights == "differential" else 1)
        front = x.dac_ns + x.read_ns + x.sample_hold_ns
        back_step = max(x.adc.conversion_ns, x.shift_add_ns + x.output_buffer_ns)
        conversions = ceil(x.columns / x.adc.per_crossbar)
        back = x.adc.conversion_ns + x.shift_add_ns + x.output_buffer_ns
        back += (conversions - 1) * back_step
        passes = ceil(machine.activation_bits / x.input_bits_per_cycle)
        passes *= ceil(x.rows / x.rows_active)
        mvm = front + back + (passes - 1) * max(front, back)
        if not x.pipelined:
            mvm = passes * (front + back)
        rows, columns = machine.chip.grid
        mean_hops = (rows + columns) / 3  # mean Manhattan distance of two random places
        return CoreTimes(
            memory.width_bytes,
            memory.read_ns,
            memory.write_ns,
            kind.vector.lanes,
            kind.vector.latency_ns,
            mvm,
            x.rows,
            x.columns // per_weight,
            noc.flit_bytes,
            noc.base_ns + noc.hop_ns * mean_hops,
            kind.vector.function_steps,
            kind.matrix.macs_per_step if kind.matrix else kind.vector.lanes,
            kind.matrix.step_ns if kind.matrix else kind.vector.latency_ns,
            kind.period_ns,
            kind.input_reads,
            machine.chip.global_memory.width_bytes,
            machine.chip.global_memory.read_ns,
            machine.chip.global_memory.write_ns,
        )

    def read_ns(self, size: float) -> float:
        """Read so many bytes of local memory."""
        return ceil(size / self.width) * self.read_access_ns

    def write_ns(self, size: float) -> float:
        """Write so many bytes of local memory."""
        return ceil(size / self.width) * self.write_access_ns

    def move_ns(self, size: float) -> float:
        """Copy within local memory."""
        return self.read_ns(size) + self.write_ns(size)

    def vector_ns(self, elements: float, read_bytes: int, write_bytes: int) -> float:
        """A vector instruction; bytes read and written for each element, operands together."""
        operands = 2 if read_bytes > 1 else 1
        each = self.read_ns(elements * read_bytes / operands)
        compute = ceil(elements / self.lanes) * self.step_ns
        return operands * each + compute + self.write_ns(elements * write_bytes)

    def mvmul_ns(self, crossbars: int, input_bytes: int, output_bytes: int) -> float:
        """One product on some crossbars."""
        written = self.outputs_per_crossbar * crossbars * output_bytes
        return self.read_ns(self.rows * input_bytes * self.input_reads) + self.mvm_pass_ns + self.write_ns(written)

    def global_read_ns(self, size: float) -> float:
        """Read so many bytes of global memory."""
        return ceil(size / self.global_width) * self.global_read_access_ns

    def global_write_ns(self, size: float) -> float:
        """Write so many bytes of global memory."""
        return ceil(size / self.global_width) * self.global_write_access_ns

    def flits(self, size: float) -> int:
        """Flits of a message."""
        return ceil(size / self.flit_bytes)
