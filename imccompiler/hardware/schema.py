"""The machine: one frozen pydantic model from device to package.

Every number carries its unit in its name. Unknown keys are errors. A field that another
field must match is checked in a validator, so that a machine that loads is a machine that
the cost model, the passes and the simulators can work with.
"""

from __future__ import annotations

from itertools import chain, repeat
from math import isqrt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Technology(_Section):
    """Process of the chip."""

    node_nm: PositiveFloat = Field(description="process node")
    supply_v: PositiveFloat = Field(default=1.0, description="core supply voltage")
    temperature_k: PositiveFloat = Field(default=300.0, description="operating temperature")


class Cell(_Section):
    """One memory cell of a crossbar."""

    kind: Literal["rram", "pcm", "fefet", "flash", "sram"] = Field(description="device")
    bits: Annotated[int, Field(ge=1, le=8)] = Field(description="bits stored in one cell")
    g_min_us: NonNegativeFloat = Field(default=0.0, description="lowest conductance, microsiemens")
    g_max_us: PositiveFloat = Field(default=25.0, description="highest conductance, microsiemens")
    programming_error: NonNegativeFloat = Field(
        default=0.0, description="std of a programmed conductance, as a share of g_max_us"
    )
    read_noise: NonNegativeFloat = Field(
        default=0.0, description="std of one read, as a share of g_max_us"
    )
    drift_exponent: NonNegativeFloat = Field(
        default=0.0, description="nu in g(t) = g(t0) (t/t0)^-nu"
    )
    stuck_at_min: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of cells stuck at g_min_us"
    )
    stuck_at_max: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of cells stuck at g_max_us"
    )
    rewritable: bool = Field(
        default=False, description="whether weights may be written while a network runs"
    )
    write_ns: NonNegativeFloat = Field(default=0.0, description="time to program one row")
    write_pj: NonNegativeFloat = Field(default=0.0, description="energy to program one cell")
    endurance_writes: PositiveFloat | None = Field(
        default=None, description="writes that a cell survives"
    )

    @model_validator(mode="after")
    def _conductance_range(self) -> Cell:
        if self.g_max_us <= self.g_min_us:
            raise ValueError("g_max_us must be above g_min_us")
        return self


class Adc(_Section):
    """What reads the columns of a crossbar: converters, or the adder trees of a digital one."""

    kind: Literal["sar", "flash", "ramp", "cco", "integrating", "adder_tree", "none"] = Field(
        default="sar",
        description="`cco`: counts a current-controlled oscillator; `integrating`: discharges an "
        "integrator step by step; `adder_tree`: a digital crossbar's, which adds exactly, with its "
        "time, energy and area here; `none`: a digital crossbar without a price for adding",
    )
    bits: Annotated[int, Field(ge=1, le=16)] = Field(
        description="resolution; of an adder tree the width of its sum"
    )
    per_crossbar: PositiveInt = Field(description="converters that share a crossbar's columns")
    conversion_ns: PositiveFloat = Field(description="time of one conversion")
    conversion_pj: NonNegativeFloat = Field(description="energy of one conversion")
    area_um2: NonNegativeFloat = Field(default=0.0, description="area of one converter")
    lsb: Literal["unit", "full_range", "column_range"] = Field(
        default="unit",
        description="`unit`: one step is one input step on one cell step, larger sums saturate; "
        "`full_range`: the steps span the largest possible sum; `column_range`: the largest sum "
        "of the column's own cells, as voltage-mode sensing does",
    )
    range_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="share of that range which the steps span; larger sums saturate",
    )

    @model_validator(mode="after")
    def _range(self) -> Adc:
        if self.lsb == "unit" and self.range_share != 1:
            raise ValueError("range_share needs an lsb of full_range or column_range")
        return self


class Crossbar(_Section):
    """An array of cells with its converters: the unit that multiplies."""

    style: Literal["analog", "digital"] = Field(
        default="analog", description="how columns are summed"
    )
    rows: Annotated[int, Field(ge=1, le=65536)] = Field(description="word lines")
    columns: Annotated[int, Field(ge=1, le=65536)] = Field(description="bit lines")
    rows_active: PositiveInt = Field(
        default=0, description="rows that are driven at once; all rows if not given"
    )
    input_bits_per_cycle: Annotated[int, Field(ge=1, le=8)] = Field(
        default=1, description="resolution of the row drivers (DAC)"
    )
    signed_weights: Literal["offset", "differential", "differential_cell", "twos_complement"] = (
        Field(
            default="offset",
            description="`offset`: cells hold w + 2^(bits-1), the digital sum of the inputs is "
            "subtracted; `differential`: a column pair; `differential_cell`: a pair of devices in "
            "each cell, subtracted before a converter of both signs; `twos_complement`: the top "
            "slice counts negative",
        )
    )
    flip_encoding: bool = Field(
        default=False,
        description="store a column inverted where that halves its largest sum (saves an ADC bit)",
    )
    adc: Adc
    pipelined: bool = Field(default=True, description="reading and converting overlap")
    read_ns: PositiveFloat = Field(description="settling of the array for one input cycle")
    pulse_ns: NonNegativeFloat = Field(
        default=0.0,
        description="one step of inputs that are given as a number or length of pulses: a cycle of "
        "b bits takes read_ns and 2^b - 1 steps more",
    )
    dac_ns: NonNegativeFloat = Field(default=0.0, description="row driver latency")
    sample_hold_ns: NonNegativeFloat = Field(default=0.0, description="sample and hold latency")
    shift_add_ns: NonNegativeFloat = Field(default=0.0, description="shift-and-add latency")
    output_buffer_ns: NonNegativeFloat = Field(default=0.0, description="output register latency")
    read_pj: NonNegativeFloat = Field(
        description="energy of the array for one input cycle; with pulses in proportion to them"
    )
    dac_pj: NonNegativeFloat = Field(default=0.0, description="one row driver, one input cycle")
    sample_hold_pj: NonNegativeFloat = Field(default=0.0, description="one column, one input cycle")
    shift_add_pj: NonNegativeFloat = Field(default=0.0, description="one converted value")
    output_buffer_pj: NonNegativeFloat = Field(default=0.0, description="one converted value")
    array_area_um2: NonNegativeFloat = Field(default=0.0, description="cells")
    periphery_area_um2: NonNegativeFloat = Field(
        default=0.0, description="row drivers, sample and hold, shift-and-add, registers"
    )

    @model_validator(mode="after")
    def _active_rows(self) -> Crossbar:
        if "rows_active" not in self.model_fields_set:
            object.__setattr__(self, "rows_active", self.rows)
        if self.rows_active > self.rows:
            raise ValueError("rows_active must not be above rows")
        if self.adc.per_crossbar > self.columns:
            raise ValueError("adc.per_crossbar must not be above columns")
        return self

    @model_validator(mode="after")
    def _ways_to_sum(self) -> Crossbar:
        if self.adc.kind == "adder_tree" and self.style != "digital":
            raise ValueError("style must be digital where adc.kind is adder_tree")
        if self.flip_encoding and self.signed_weights == "differential_cell":
            raise ValueError("signed_weights of differential_cell leaves no use for flip_encoding")
        return self

    @property
    def digital(self) -> bool:
        """Whether columns are summed exactly."""
        return self.style == "digital" or self.adc.kind == "none"


class Memory(_Section):
    """A memory with one port that serves requests in order."""

    kib: PositiveInt = Field(description="capacity")
    width_bytes: PositiveInt = Field(description="bytes of one access")
    read_ns: PositiveFloat = Field(description="one read access")
    write_ns: PositiveFloat = Field(description="one write access")
    read_pj: NonNegativeFloat = Field(description="one read access")
    write_pj: NonNegativeFloat = Field(description="one write access")
    static_mw: NonNegativeFloat = Field(default=0.0, description="static power")
    area_um2: NonNegativeFloat = Field(default=0.0, description="area")


class VectorUnit(_Section):
    """The digital unit of a core for all that is not a matrix product with static weights."""

    lanes: PositiveInt = Field(description="elements processed at once")
    latency_ns: PositiveFloat = Field(description="time of one step of all lanes")
    step_pj: NonNegativeFloat = Field(description="energy of one step, register accesses included")
    accumulator_bits: Annotated[int, Field(ge=16, le=64)] = Field(
        default=32, description="widest intermediate value"
    )
    functions: tuple[str, ...] = Field(
        default=(), description="ONNX operators beyond the integer instructions it can do"
    )
    function_steps: PositiveInt = Field(
        default=4, description="steps that such a function takes for each `lanes` elements"
    )
    area_um2: NonNegativeFloat = Field(default=0.0, description="area")


class MatrixUnit(_Section):
    """A digital matrix unit for products of two activations."""

    macs_per_step: PositiveInt = Field(description="8-bit multiply-accumulates a step")
    step_ns: PositiveFloat = Field(description="time of one step")
    mac_pj: NonNegativeFloat = Field(description="energy of one multiply-accumulate")
    area_um2: NonNegativeFloat = Field(default=0.0, description="area")


class CoreKind(_Section):
    """One kind of core: crossbars, a local memory and digital units behind one port."""

    crossbars: Annotated[int, Field(ge=0)] = Field(description="crossbars a core")
    crossbar: Crossbar
    cell: Cell
    local_memory: Memory
    vector: VectorUnit
    matrix: MatrixUnit | None = Field(default=None, description="optional digital matrix unit")
    input_reads: PositiveInt = Field(
        default=1, description="times that `mvmul` reads its input from the local memory"
    )
    sums_row_blocks: bool = Field(
        default=False,
        description="a group of crossbars may hold several row blocks of a matrix: their inputs "
        "lie one after the other, and the core adds their outputs on the way out",
    )
    rob_size: PositiveInt = Field(
        default=1, description="matrix, vector and transfer operations in flight"
    )
    hazards: Literal["exact", "pimsim"] = Field(
        default="exact",
        description="operations in flight that one waits for: `exact` those that touch the same "
        "bytes, `pimsim` as pimsim-nn finds them (`docs/program.md`)",
    )
    period_ns: PositiveFloat = Field(default=1.0, description="clock period; one decode a period")
    other_area_um2: NonNegativeFloat = Field(default=0.0, description="control, buses, registers")
    static_mw: NonNegativeFloat = Field(default=0.0, description="static power beside the memory's")

    @model_validator(mode="after")
    def _width_of_sums(self) -> CoreKind:
        array, tree = self.crossbar, self.crossbar.adc
        digit, level = (1 << array.input_bits_per_cycle) - 1, (1 << self.cell.bits) - 1
        needed = (array.rows_active * digit * level).bit_length()
        if tree.kind == "adder_tree" and tree.bits < needed:
            raise ValueError(f"adc.bits of an adder tree must hold sums of {needed} bits")
        return self

    def columns_per_weight(self, weight_bits: int) -> int:
        """Bit lines that one weight takes: a slice each, a pair of them when differential."""
        slices = -(-weight_bits // self.cell.bits)
        return slices * (2 if self.crossbar.signed_weights == "differential" else 1)


class Noc(_Section):
    """The network between the cores; transfers do not contend for links."""

    topology: Literal["mesh", "bus"] = Field(default="mesh", description="how hops are counted")
    flit_bytes: PositiveInt = Field(description="bytes of one flit")
    base_ns: NonNegativeFloat = Field(description="latency of a flit without its hops")
    hop_ns: NonNegativeFloat = Field(description="latency a hop adds")
    flit_pj: NonNegativeFloat = Field(description="energy of a flit without its hops")
    hop_pj: NonNegativeFloat = Field(default=0.0, description="energy a hop adds to a flit")
    global_memory_ns: NonNegativeFloat = Field(
        description="latency of a flit between a core and the global memory"
    )
    global_memory_pj: NonNegativeFloat = Field(
        default=0.0, description="energy of a flit between a core and the global memory"
    )
    router_area_um2: NonNegativeFloat = Field(default=0.0, description="one router")


class Cores(_Section):
    """How many cores of one kind stand on the chip, in the order of the mesh."""

    kind: str = Field(description="a key of `core_kinds`")
    count: PositiveInt = Field(
        default=0, description="how many; the rest of the grid if not given (one entry only)"
    )

    def with_rest(self, rest: int) -> Cores:
        """The same entry with `rest` cores if it gives no count; the count stays unset."""
        if "count" in self.model_fields_set:
            return self
        return Cores.model_construct({"kind"}, kind=self.kind, count=rest)


class Chip(_Section):
    """Cores on a grid, the network and the global memory."""

    grid: tuple[PositiveInt, PositiveInt] = Field(description="rows and columns of the mesh")
    cores: tuple[Cores, ...] = Field(min_length=1, description="filled in row-major order")
    noc: Noc
    global_memory: Memory
    other_area_um2: NonNegativeFloat = Field(default=0.0, description="links, pads, clock")
    static_mw: NonNegativeFloat = Field(default=0.0, description="static power beside the cores'")

    @model_validator(mode="after")
    def _fill_the_grid(self) -> Chip:
        open_ended = sum("count" not in c.model_fields_set for c in self.cores)
        if open_ended > 1:
            raise ValueError("cores: only one entry can do without a count")
        places = self.grid[0] * self.grid[1]
        counted = sum(c.count for c in self.cores if "count" in c.model_fields_set)
        if counted + open_ended > places:
            raise ValueError(
                f"cores: {counted + open_ended} cores do not fit a grid of {places} places"
            )
        if open_ended:
            filled = tuple(c.with_rest(places - counted) for c in self.cores)
            object.__setattr__(self, "cores", filled)
        return self


# ISAAC's chip-to-chip link, for a flit of 32 bytes: one HyperTransport link of 6.4 GB/s takes 5 ns
# and meanwhile spends a fourth of the 10.4 W of four (Shafiee et al., ISCA 2016, Table I).
_LINK_NS = 5.0
_LINK_PJ = 10_400 / 4 * _LINK_NS


class Package(_Section):
    """Chips on one package, in a mesh: floor(sqrt(chips)) beside each other, rows below rows."""

    chips: PositiveInt = Field(default=1, description="chips")
    link_ns_per_flit: NonNegativeFloat = Field(
        default=_LINK_NS, description="latency that a link between two chips adds to a flit"
    )
    link_pj_per_flit: NonNegativeFloat = Field(
        default=_LINK_PJ, description="energy that a link between two chips adds to a flit"
    )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of chips; the last row may be short."""
        columns = isqrt(self.chips)
        return -(-self.chips // columns), columns


# All four of these links; a round trip over PCIe instead of HyperTransport's, of which there is no
# figure there: the median of a 64 B read from a Xeon E5 (Neugebauer et al., SIGCOMM 2018).
class Host(_Section):
    """The link to the host, which runs the operators that no unit of the chip can do."""

    latency_ns: NonNegativeFloat = Field(default=547.0, description="there and back, without data")
    bytes_per_ns: PositiveFloat = Field(default=4 * 6.4, description="bandwidth, both ways alike")
    pj_per_byte: NonNegativeFloat = Field(
        default=10_400 / (4 * 6.4), description="energy of moving a byte"
    )


class Source(_Section):
    """Where a value comes from."""

    keys: tuple[str, ...] = Field(description="dotted keys that it covers")
    text: str = Field(description="publication, table, and how the value follows from it")


class Machine(_Section):
    """A complete machine."""

    name: str = Field(description="name in reports")
    description: str = Field(default="", description="what machine it is")
    weight_bits: Annotated[int, Field(ge=2, le=16)] = Field(default=8, description="stored weights")
    activation_bits: Annotated[int, Field(ge=2, le=16)] = Field(
        default=8, description="activations in memory and at the row drivers"
    )
    crossbar_count: Literal["physical", "logical"] = Field(
        default="physical",
        description="`logical` counts a crossbar as columns of whole weights, as PIMCOMP does",
    )
    technology: Technology
    core_kinds: dict[str, CoreKind] = Field(min_length=1, description="by name")
    chip: Chip
    package: Package = Package()
    host: Host = Host()
    sources: tuple[Source, ...] = Field(default=(), description="where the values come from")

    @model_validator(mode="after")
    def _consistent(self) -> Machine:
        unknown = [c.kind for c in self.chip.cores if c.kind not in self.core_kinds]
        if unknown:
            raise ValueError(f"chip.cores names core kinds that are not described: {unknown}")
        return self

    @property
    def cores_per_chip(self) -> int:
        """Cores of one chip."""
        return sum(c.count for c in self.chip.cores)

    @property
    def core_count(self) -> int:
        """Cores of the whole package."""
        return self.package.chips * self.cores_per_chip

    def kind_of_core(self) -> list[str]:
        """The kind of every core, in the order of their numbers: chip after chip."""
        of_chip = chain.from_iterable(repeat(c.kind, c.count) for c in self.chip.cores)
        return self.package.chips * list(of_chip)

    @property
    def main_kind(self) -> CoreKind:
        """The first kind of core that has crossbars (the first kind if none has)."""
        for cores in self.chip.cores:
            if self.core_kinds[cores.kind].crossbars:
                return self.core_kinds[cores.kind]
        return self.core_kinds[self.chip.cores[0].kind]
