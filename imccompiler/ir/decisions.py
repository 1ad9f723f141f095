"""The decisions that passes make, in the order in which the passes make them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from imccompiler.errors import IRError
from imccompiler.ir.decision import Decision


@dataclass(frozen=True)
class Window(Decision):
    """Geometry of the sliding window that feeds a matrix product.

    All lists have one entry a spatial axis; `pads` has the begins, then the ends (ONNX order).
    A plain matrix product has an empty `kernel`.
    """

    name: ClassVar[str] = "imc.window"
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("kernel", "strides", "dilations", "groups")


@dataclass(frozen=True)
class Source(Decision):
    """The ONNX node that an op comes from."""

    name: ClassVar[str] = "imc.source"
    node: str
    op_type: str


@dataclass(frozen=True)
class Quant(Decision):
    """Codes of a tensor: real value = scale * (code - zero_point), two's complement of `bits`."""

    name: ClassVar[str] = "imc.quant"
    scale: float
    zero_point: int
    bits: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("bits")
        if not 0 < self.scale < math.inf:
            raise IRError(f"scale must be above 0, not {self.scale}", where="#imc.quant.scale")


@dataclass(frozen=True)
class WeightCodes(Decision):
    """Weights that are integers times a scale a channel, as a quantised network brings them.

    `peaks` names an entry of the weight store: the largest magnitude of each channel's integers,
    shape (channels,). A channel's integers are its weights times peak / largest weight, whatever
    factors have been folded into the channel; `bits` is their width, `zero_bits` of it only because
    zero points were subtracted.
    """

    name: ClassVar[str] = "imc.codes"
    peaks: str
    bits: int
    zero_bits: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("bits")


@dataclass(frozen=True)
class IntegerMatmul(Decision):
    """The integer form of a matrix product; the arrays are entries of the weight store.

    out = saturate(round_half_even((sum_k w[k, n] x[k] + bias[n]) * multiplier[n] / 2^shift[n]))

    `accumulator_bits` holds every sum, bias included, for any input; `product_bits` also after
    the multiplication.
    """

    name: ClassVar[str] = "imc.integer_matmul"
    weight: str
    bias: str
    multiplier: str
    shift: str
    weight_bits: int
    accumulator_bits: int
    product_bits: int


@dataclass(frozen=True)
class Kind(Decision):
    """The kind of core that a layer stands on, where the machine has several with crossbars.

    `cores` is a key of the machine's `core_kinds`.
    """

    name: ClassVar[str] = "imc.kind"
    cores: str


@dataclass(frozen=True)
class Tiling(Decision):
    """How a weight matrix is cut: row blocks x column blocks x bit slices.

    `rows` word-line blocks and `columns` bit-line blocks a group of `pack` convolution groups;
    `slices` cells a weight.
    """

    name: ClassVar[str] = "imc.tiling"
    rows: int
    columns: int
    slices: int
    pack: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("rows", "columns", "slices", "pack")


@dataclass(frozen=True)
class Segment(Decision):
    """When a layer's weights are on the chip, where the chip does not hold all at once.

    Layers of one `number` are there together; a core gets the weights of its next segment as soon
    as it has done its work in the last one. The layer stands on `cores` cores from `first` on.
    """

    name: ClassVar[str] = "imc.segment"
    number: int
    first: int
    cores: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("cores")


@dataclass(frozen=True)
class Replication(Decision):
    """Copies of a layer's weights and how one copy is spread over cores.

    A copy stands on `row_split * column_split` cores, each holding a share of the row blocks
    and of the column blocks; `grid` is how the copies share the output's rows and columns.
    A copy holds its kernel `unroll` times, shifted, and so computes as many neighbouring outputs
    of a row at once from one, wider, window; columns of `grid` then count such groups.
    """

    name: ClassVar[str] = "imc.replication"
    copies: int
    row_split: int = 1
    column_split: int = 1
    grid: tuple[int, ...] = (1, 1)
    unroll: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("copies", "row_split", "column_split", "grid")


@dataclass(frozen=True)
class Placement(Decision):
    """Cores of an op's parts: copy after copy, in it row share after row share, then columns.

    On a digital op: the core of each tile of the output, `grid` tiles in row-major order.
    """

    name: ClassVar[str] = "imc.placement"
    cores: tuple[int, ...]
    grid: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grain(Decision):
    """Pieces into which each part of an op is cut for pipelining, along the output's rows."""

    name: ClassVar[str] = "imc.grain"
    pieces: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("pieces")


@dataclass(frozen=True)
class Order(Decision):
    """How tasks are ordered, on the module.

    `rule` ranks tasks that could begin at once: `step` keeps cores in step, layer by layer, `path`
    follows the longest path alone, `number` takes what was built first. A task waits up to
    `patience_ns` for a more urgent one. `tasks` holds the order itself where a solver found one
    better than the rule's.
    """

    name: ClassVar[str] = "imc.order"
    rule: Literal["step", "path", "number"]
    patience_ns: float
    tasks: tuple[int, ...] = ()


ALL = (
    Window,
    Source,
    Quant,
    WeightCodes,
    IntegerMatmul,
    Kind,
    Tiling,
    Segment,
    Replication,
    Placement,
    Grain,
    Order,
)
