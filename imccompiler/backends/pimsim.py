"""Writes a program for pimsim-nn, which then judges it independently of this compiler.

pimsim-nn (SystemC, cycle level; read at 3e3442b) checks next to nothing, so everything that it
would accept silently and time wrongly is checked here. See `docs/pimsim.md`.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from imccompiler.backends.pimsim_check import (
    Exchanges,
    check_capacity,
    check_operations,
    check_widths,
    group_maps,
)
from imccompiler.backends.pimsim_machine import chip, network
from imccompiler.backends.pimsim_text import formats, render
from imccompiler.backends.pimsim_unroll import unrolled, unrolled_cores
from imccompiler.errors import ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import MATRIX_OPS, OP, Op

__all__ = ["CHIP_FILE", "NETWORK_FILE", "PROGRAM_FILE", "Summary", "unrolled", "write"]

PROGRAM_FILE, CHIP_FILE, NETWORK_FILE = "program.json.gz", "chip.json", "network.json"

_COMPRESSION = 4  # a thirteenth of the text; 6 takes half as long again for a seventh less


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written.

    Attributes:
        cores: Cores that have instructions.
        instructions: Of all cores, unrolled, as pimsim-nn reads them.
        operations: How many of each operation, by name.
    """

    cores: int
    instructions: int
    operations: dict[str, int]


def write(
    program: Program, machine: Machine, folder: Path, *, rob_size: int | None = None
) -> Summary:
    """Write `program.json.gz`, `chip.json` and `network.json`.

    Loops are unrolled and scalar instructions become `sldi` of the registers that an operation
    reads and that changed; the operations, their order and their operands stay as they are.

    Args:
        program: What to write.
        machine: The machine that it was compiled for; logical crossbars are written as such.
        folder: Where to; made if it is not there.
        rob_size: Operations in flight in place of the machine's.

    Raises:
        ProgramError: pimsim-nn lacks an operation (names layer and operator), or what cores
            exchange does not match.
        HardwareError: pimsim-nn cannot describe the machine.
        DoesNotFitError: Cores, crossbars or local memory do not suffice.
    """
    check_capacity(program, machine)
    check_operations(program)
    check_widths(program)
    _check_exchanges(program)
    active = active_cores(program)
    if not active:
        raise ProgramError("no core has an operation to do")
    config = {"core_cnt": active[-1] + 1, "array_group_map": group_maps(program, active)}
    folder.mkdir(parents=True, exist_ok=True)
    chip_text = json.dumps(chip(machine, active[-1] + 1, rob_size, NETWORK_FILE), indent=1)
    (folder / CHIP_FILE).write_text(chip_text + "\n", encoding="utf-8")
    (folder / NETWORK_FILE).write_text(json.dumps(network(machine)) + "\n", encoding="utf-8")
    with (
        (folder / PROGRAM_FILE).open("wb") as raw,
        gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="ascii") as file,
    ):
        return _write_program(program, machine, config, file)


def active_cores(program: Program) -> list[int]:
    """Cores that have an operation to do: the others are left out."""
    operations = np.flatnonzero(program.code[:, OP] >= min(MATRIX_OPS))
    return np.unique(np.searchsorted(program.core_start, operations, side="right") - 1).tolist()


def _write_program(
    program: Program, machine: Machine, config: Mapping[str, Any], file: IO[str]
) -> Summary:
    file.write('{"config":' + json.dumps(config, separators=(",", ":")))
    kind = machine.main_kind
    written = formats(kind.columns_per_weight(program.weight_bits) * kind.cell.bits)
    counts = np.zeros(max(Op) + 1, np.int64)
    for core, code in unrolled_cores(program):
        file.write(f',\n"core{core}":[\n')
        file.write(render(code, written))
        file.write("]")
        counts += np.bincount(code[:, OP], minlength=len(counts))
    file.write("}\n")
    operations = {Op(op).name.lower(): int(counts[op]) for op in np.flatnonzero(counts).tolist()}
    return Summary(len(config["array_group_map"]), int(counts.sum()), operations)


def _check_exchanges(program: Program) -> None:
    exchanges = Exchanges()
    for core, code in unrolled_cores(program):
        exchanges.add(core, code)
    exchanges.check()
