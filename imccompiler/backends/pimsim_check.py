"""What pimsim-nn would accept in silence: to time it wrongly, crash or wait for ever."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from imccompiler.backends.pimsim_text import MISSING
from imccompiler.errors import DoesNotFitError, ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, LAYER, MATRIX_OPS, OP, VECTOR_OPS, Code, Op
from imccompiler.program.text import instruction_text
from imccompiler.program.tiles import CORE, CROSSBARS, GROUP, TILE, group_shapes

_BYTES_PER_KIB = 1024


def check_operations(program: Program) -> None:
    """Every operation exists in pimsim-nn.

    Raises:
        ProgramError: One does not; names the layer and the operator.
    """
    missing = np.flatnonzero(np.isin(program.code[:, OP], list(MISSING)))
    if not len(missing):
        return
    row = program.code[missing[0]].tolist()
    layer = program.layers[row[LAYER]] if 0 <= row[LAYER] < len(program.layers) else None
    call = f" ({program.functions[row[AUX]].op_type})" if row[OP] == Op.VFUN else ""
    raise ProgramError(
        f"pimsim-nn has no `{Op(row[OP]).name.lower()}`{call}; "
        f"{len(missing)} instructions need what it does not have",
        where=f"layer {layer!r}",
        hint="the program runs in our own simulators",
    )


def check_widths(program: Program) -> None:
    """On no core a matrix or vector operation comes before the first `setbw`.

    Raises:
        ProgramError: One does.
    """
    op = program.code[:, OP]
    uses = np.flatnonzero(np.isin(op, list(MATRIX_OPS | VECTOR_OPS)))
    sets = np.append(np.flatnonzero(op == Op.SETBW), len(op))
    for core, begin in enumerate(program.core_start[:-1].tolist()):
        first = int(np.searchsorted(uses, begin))
        if first == len(uses) or uses[first] >= program.core_start[core + 1]:
            continue
        if uses[first] < sets[np.searchsorted(sets, begin)]:
            text = instruction_text(program.code[uses[first]].tolist())
            raise ProgramError(
                "needs bit widths; is `setbw` missing?", where=f"core {core} ({text})"
            )


def group_maps(program: Program, cores: list[int]) -> dict[str, list[int]]:
    """Crossbars of each group of each of the cores, by pimsim-nn's names.

    Raises:
        ProgramError: A core's groups are not numbered 0, 1, ..., or one has several row blocks.
    """
    tall = np.flatnonzero(group_shapes(program)[:, 0] > 1)
    if len(tall):
        core, group = program.groups[tall[0], [CORE, GROUP]].tolist()
        raise ProgramError(
            "pimsim-nn does not add row blocks inside a core", where=f"core {core}, group {group}"
        )
    maps: dict[str, list[int]] = {}
    for core in cores:
        groups = program.groups[program.groups[:, CORE] == core]
        if not np.array_equal(groups[:, GROUP], np.arange(len(groups))):
            raise ProgramError("groups are not numbered without gaps", where=f"core {core}")
        maps[f"core{core}"] = groups[:, CROSSBARS].tolist()
    return maps


def check_capacity(program: Program, machine: Machine) -> None:
    """Cores, their crossbars and their local memories suffice.

    Raises:
        DoesNotFitError: They do not.
    """
    kinds = machine.kind_of_core()
    _require("chip", program.core_count, len(kinds), "cores")
    distinct = np.unique(program.tiles[:, [TILE["core"], TILE["crossbar"]]], axis=0)
    crossbars = np.bincount(distinct[:, 0], minlength=program.core_count).tolist()
    for core, (arrays, local) in enumerate(
        zip(crossbars, program.local_bytes.tolist(), strict=True)
    ):
        kind = machine.core_kinds[kinds[core]]
        _require(f"core {core}", arrays, kind.crossbars, "crossbars")
        memory = kind.local_memory.kib * _BYTES_PER_KIB
        _require(f"core {core}", local, memory, "bytes of local memory")


def _require(where: str, demand: int, capacity: int, unit: str) -> None:
    if demand > capacity:
        raise DoesNotFitError(
            "the program", demand=demand, capacity=capacity, unit=unit, where=where
        )


class Exchanges:
    """What cores send, receive, raise and wait for, in the order of their streams."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int], NDArray[np.int32]] = {}
        self._received: dict[tuple[int, int], NDArray[np.int32]] = {}
        self._raised: dict[tuple[int, int], int] = {}
        self._awaited: dict[tuple[int, int], int] = {}

    def add(self, core: int, code: Code) -> None:
        """Note a core's unrolled stream."""
        sends, receives = code[code[:, OP] == Op.SEND], code[code[:, OP] == Op.RECV]
        for peer in np.unique(sends[:, AUX]).tolist():
            self._sent[core, peer] = sends[sends[:, AUX] == peer, IMM]
        for peer in np.unique(receives[:, AUX]).tolist():
            self._received[peer, core] = receives[receives[:, AUX] == peer, IMM]
        for event, peer in code[code[:, OP] == Op.SYNC][:, [IMM, AUX]].tolist():
            self._raised[peer, event] = self._raised.get((peer, event), 0) + 1
        for event, count in code[code[:, OP] == Op.WAIT][:, [IMM, AUX]].tolist():
            self._awaited[core, event] = self._awaited.get((core, event), 0) + count

    def check(self) -> None:
        """What is sent is received, in order and whole; what is raised is waited for.

        Raises:
            ProgramError: Something is not.
        """
        nothing = np.zeros(0, np.int32)
        for pair in sorted(self._sent.keys() | self._received.keys()):
            sent, received = self._sent.get(pair, nothing), self._received.get(pair, nothing)
            if pair[0] == pair[1]:  # no latency stands in the table for it
                raise ProgramError("sends to itself", where=f"core {pair[0]}")
            if not np.array_equal(sent, received):
                _mismatch(pair, sent, received)
        for core, event in sorted(self._raised.keys() | self._awaited.keys()):
            raised = self._raised.get((core, event), 0)
            awaited = self._awaited.get((core, event), 0)
            if raised != awaited:
                raise ProgramError(
                    f"event {event} is raised {raised} times and awaited {awaited} times",
                    where=f"core {core}",
                )


def _mismatch(
    pair: tuple[int, int], sent: NDArray[np.int32], received: NDArray[np.int32]
) -> NoReturn:
    both = min(len(sent), len(received))
    differs = np.flatnonzero(sent[:both] != received[:both])
    number = int(differs[0]) if len(differs) else both
    sizes = [
        f"{int(side[number])} bytes" if number < len(side) else "nothing"
        for side in (sent, received)
    ]
    raise ProgramError(
        f"message {number}: {sizes[0]} sent, {sizes[1]} received",
        where=f"core {pair[0]} to core {pair[1]}",
    )
