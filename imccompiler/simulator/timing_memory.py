"""The memory of the timing kernel: its records laid out one behind the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.rounding import picoseconds
from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import COLUMNS, LAYER, OP, Op
from imccompiler.program.tiles import CORE, TILE, group_of_tiles
from imccompiler.simulator import timing_records as r
from imccompiler.simulator.timing_code import core_of_instruction, layer_of_instruction
from imccompiler.simulator.timing_tables import CostTables

Ints = NDArray[np.int64]

_LOG_LINES = 1 << 15
_PEERS = (Op.SEND, Op.RECV, Op.SYNC)


class Memory:
    """A laid-out memory and where its parts are.

    Attributes:
        words: The vector that the kernel works on.
        log: Operations with their times, taken out of it so far.
    """

    def __init__(
        self, program: Program, machine: Machine, costs: CostTables, *, images: int, events: bool
    ) -> None:
        self.log: list[Ints] = []
        cores, groups = program.core_count, len(program.groups)
        rob_size = of_cores(machine, lambda kind: kind.rob_size)[:cores]
        core_size = r.ROB + int(rob_size.max(initial=1)) * r.ENTRY_SIZE
        sharing_start, sharing = _sharing(program)
        sizes = {
            "cores": cores * core_size,
            "groups": groups * r.GROUP_SIZE,
            "sharing": len(sharing),
            "code": len(program.code) * r.INSTRUCTION_SIZE,
            "costs": costs.costs.size,
            "spans": 2 * (len(program.layers) + 1),
            "image_ends": images,
            "heap": 6 * cores + groups + 1,
            "items": (4 * cores + 4) * r.ITEM_SIZE,
            "log": _LOG_LINES * r.LOG_SIZE if events else 0,
        }
        ends = np.cumsum([r.HEADER_SIZE, *sizes.values()]).tolist()
        self._places = {
            name: slice(begin, end)
            for name, begin, end in zip(sizes, ends[:-1], ends[1:], strict=True)
        }
        self._core_size = core_size
        self.words = np.zeros(ends[-1], np.int64)
        self._fill_header(cores, groups, images, events=events)
        self._fill_cores(program, machine, rob_size)
        self._fill_groups(program, sharing_start, sharing)
        self._fill_code(program, costs, NetworkTiming.of(machine))
        self.part("costs")[:] = costs.costs.reshape(-1)
        self.part("spans")[0::2] = r.NEVER
        self._link_items(self._start("items"), len(self.part("items")) // r.ITEM_SIZE)

    def part(self, name: str) -> Ints:
        """A view of a part's words."""
        return self.words[self._places[name]]

    @property
    def cores(self) -> Ints:
        """A view of the cores' records, shape (cores, words of one)."""
        return self.part("cores").reshape(-1, self._core_size)

    @property
    def code(self) -> Ints:
        """A view of the instructions' records, shape (n, INSTRUCTION_SIZE)."""
        return self.part("code").reshape(-1, r.INSTRUCTION_SIZE)

    def index_of(self, instruction: int) -> int:
        """The row of `Program.code` of an instruction's address."""
        return (instruction - self._start("code")) // r.INSTRUCTION_SIZE

    def add_items(self) -> None:
        """More room in the switches, behind everything else."""
        count = len(self.part("items")) // r.ITEM_SIZE
        begin = len(self.words)
        self.words = np.concatenate([self.words, np.zeros(count * r.ITEM_SIZE, np.int64)])
        self._link_items(begin, count)

    def take_log(self) -> None:
        """Move the log out to make room."""
        if self.words[r.LOG_END]:
            begin, end = self._start("log"), int(self.words[r.LOG])
            lines = self.words[begin:end].reshape(-1, r.LOG_SIZE).copy()
            lines[:, r.LOG_INSTRUCTION] -= self._start("code")
            lines[:, r.LOG_INSTRUCTION] //= r.INSTRUCTION_SIZE
            self.log.append(lines)
            self.words[r.LOG] = begin

    def _start(self, name: str) -> int:
        return self._places[name].start

    def _fill_header(self, cores: int, groups: int, images: int, *, events: bool) -> None:
        for word, value in {
            r.CORES: self._start("cores"),
            r.CORE_COUNT: cores,
            r.CORE_SIZE: self._core_size,
            r.GROUPS: self._start("groups"),
            r.GROUP_COUNT: groups,
            r.ACTOR_BITS: (5 * cores + groups).bit_length(),
            r.SPANS_PS: self._start("spans"),
            r.IMAGE_ENDS_PS: self._start("image_ends"),
            r.IMAGES: images,
            r.HEAP: self._start("heap"),
            r.LOG: self._start("log"),
            r.LOG_END: self._places["log"].stop if events else 0,
        }.items():
            self.words[word] = value

    def _fill_cores(self, program: Program, machine: Machine, rob_size: Ints) -> None:
        cores = self.cores
        stream = self._start("code") + program.core_start * r.INSTRUCTION_SIZE
        cores[:, r.NUMBER] = np.arange(len(cores))
        period_ps = of_cores(machine, lambda kind: picoseconds(kind.period_ns))
        cores[:, r.PERIOD_PS] = period_ps[: len(cores)]
        cores[:, r.ROB_SIZE] = rob_size
        exact = of_cores(machine, lambda kind: kind.hazards == "exact")
        cores[:, r.ORDERS_WRITES] = exact[: len(cores)]
        cores[:, r.FIRST] = cores[:, r.PC] = stream[:-1]
        cores[:, r.END] = stream[1:]
        cores[:, r.WAIT_EVENT] = r.NO_EVENT

    def _fill_groups(self, program: Program, sharing_start: Ints, sharing: Ints) -> None:
        groups = self.part("groups").reshape(-1, r.GROUP_SIZE)
        groups[:, r.GROUP_CORE] = self._core_address(program.groups[:, CORE])
        groups[:, r.SHARING] = self._start("sharing") + sharing_start[:-1]
        groups[:, r.SHARING_END] = self._start("sharing") + sharing_start[1:]
        self.part("sharing")[:] = self._start("groups") + sharing * r.GROUP_SIZE

    def _fill_code(self, program: Program, costs: CostTables, network: NetworkTiming) -> None:
        code, op = self.code, program.code[:, OP]
        code[:, : len(COLUMNS)] = program.code
        code[:, LAYER] = layer_of_instruction(program)
        code[:, r.COST_ROW] = self._start("costs") + costs.row * r.COST_SIZE
        target, drives = costs.target.copy(), (op == Op.MVMUL) | (op == Op.MVWR)
        target[drives] = self._start("groups") + target[drives] * r.GROUP_SIZE
        target[op == Op.SETBW] *= r.COST_SIZE
        names_core = np.flatnonzero(np.isin(op, _PEERS))
        own, other = core_of_instruction(program)[names_core], target[names_core]
        target[names_core] = self._core_address(other)
        code[:, r.TARGET] = target
        code[names_core, r.FLIT_PS] = network.flit_ps(own, other)

    def _core_address(self, number: NDArray[np.integer]) -> Ints:
        return self._start("cores") + number.astype(np.int64) * self._core_size

    def _link_items(self, begin: int, count: int) -> None:
        """Put new items before the free ones."""
        addresses = begin + np.arange(count) * r.ITEM_SIZE
        self.words[addresses[:-1] + r.NEXT] = addresses[1:]
        self.words[addresses[-1] + r.NEXT] = self.words[r.FREE_ITEM]
        self.words[r.FREE_ITEM] = begin
        self.words[r.FREE_ITEMS] += count


def _sharing(program: Program) -> tuple[Ints, Ints]:
    """Groups that have a tile on a crossbar of each group, itself included: starts and rows."""
    tiles, owner, groups = program.tiles.astype(np.int64), group_of_tiles(program), program.groups
    stride = int(tiles[:, TILE["crossbar"]].max(initial=0)) + 1
    place = tiles[:, TILE["core"]] * stride + tiles[:, TILE["crossbar"]]
    held = np.sort((place * len(groups) + owner)[owner >= 0])
    held = held[np.append(True, held[1:] != held[:-1])[: len(held)]]
    place, group = np.divmod(held, max(len(groups), 1))
    ends = np.flatnonzero(np.append(place[1:] != place[:-1], True)[: len(place)]) + 1
    counts = np.diff(ends, prepend=0)
    partners: dict[int, set[int]] = {}
    for end, count in zip(ends[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        together = group[end - count : end].tolist()
        for one in together:
            partners.setdefault(one, set()).update(together)
    sizes = np.ones(len(groups), np.int64)
    sizes[list(partners)] = [len(others) for others in partners.values()]
    start = np.append(0, np.cumsum(sizes))
    rows = np.repeat(np.arange(len(groups)), sizes)
    for one, others in partners.items():
        rows[start[one] : start[one + 1]] = sorted(others)
    return start, rows
