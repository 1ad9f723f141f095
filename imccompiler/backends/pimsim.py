"""Writes a program for pimsim-nn, which then judges it independently of this compiler.

pimsim-nn (https://github.com/wangxy-2000/pimsim-nn at 3e3442b) checks next to nothing, so
everything that it would accept silently and time wrongly is checked here. See `docs/program.md`,
section pimsim-nn.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imccompiler.backends.pimsim_machine import chip, network
from imccompiler.backends.pimsim_stream import Messages, check_operations, unroll
from imccompiler.errors import DoesNotFitError, ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.tiles import CORE, CROSSBARS, GROUP, TILE

PROGRAM_FILE, CHIP_FILE, NETWORK_FILE = "program.json.gz", "chip.json", "network.json"

_COMPRESSION = 4
_BYTES_PER_KIB = 1024


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
        ProgramError: pimsim-nn lacks an operation, or messages do not match.
        HardwareError: pimsim-nn cannot describe the machine.
        DoesNotFitError: Cores, crossbars or local memory do not suffice.
    """
    used = np.flatnonzero(np.diff(program.core_start)).tolist()
    if not used:
        raise ProgramError("the program has no instructions")
    _check_capacity(program, machine)
    check_operations(program)
    folder.mkdir(parents=True, exist_ok=True)
    chip_text = json.dumps(chip(machine, used[-1] + 1, rob_size, NETWORK_FILE), indent=1)
    (folder / CHIP_FILE).write_text(chip_text + "\n", encoding="utf-8")
    (folder / NETWORK_FILE).write_text(json.dumps(network(machine)) + "\n", encoding="utf-8")
    with (
        (folder / PROGRAM_FILE).open("wb") as raw,
        gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="ascii", write_through=False) as file,
    ):
        return _write_program(program, machine, used, file)


def _write_program(
    program: Program, machine: Machine, used: list[int], file: io.TextIOWrapper
) -> Summary:
    config = {"core_cnt": used[-1] + 1, "array_group_map": _group_maps(program, used)}
    file.write('{"config":' + json.dumps(config, separators=(",", ":")))
    counts: Counter[str] = Counter()
    messages = Messages()
    for core in used:
        separator = f',\n"core{core}":[\n'
        for operation, text in unroll(program, machine, core, messages):
            file.write(separator)
            file.write(text)
            separator = ",\n"
            counts[operation] += 1
        file.write("]")
    file.write("}\n")
    messages.check()
    return Summary(len(used), counts.total(), dict(sorted(counts.items())))


def _group_maps(program: Program, used: list[int]) -> dict[str, list[int]]:
    """Crossbars of every group of each core, 0 for numbers that are not in use."""
    maps: dict[str, list[int]] = {}
    for core in used:
        groups = program.groups[program.groups[:, CORE] == core]
        crossbars = np.zeros(int(groups[:, GROUP].max(initial=-1)) + 1, np.int64)
        crossbars[groups[:, GROUP]] = groups[:, CROSSBARS]
        maps[f"core{core}"] = crossbars.tolist()
    return maps


def _check_capacity(program: Program, machine: Machine) -> None:
    kinds = machine.kind_of_core()
    if program.core_count > len(kinds):
        raise DoesNotFitError(
            "too many cores", demand=program.core_count, capacity=len(kinds), unit="cores"
        )
    distinct = np.unique(program.tiles[:, [TILE["core"], TILE["crossbar"]]], axis=0)
    crossbars = np.bincount(distinct[:, 0], minlength=program.core_count).tolist()
    for core, (count, local) in enumerate(
        zip(crossbars, program.local_bytes.tolist(), strict=True)
    ):
        kind = machine.core_kinds[kinds[core]]
        memory = kind.local_memory.kib * _BYTES_PER_KIB
        for demand, capacity, unit in (
            (count, kind.crossbars, "crossbars"),
            (local, memory, "bytes of local memory"),
        ):
            if demand > capacity:
                raise DoesNotFitError(
                    "a core holds too much",
                    demand=demand,
                    capacity=capacity,
                    unit=unit,
                    where=f"core {core}",
                )
