"""The content of report.json, as frozen pydantic models: the one place where its keys stand.

`schema.json` and `docs/report.md` are generated from here by `python -m
imccompiler.report.document`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 1

Count = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Energy(Section):
    """Energy of one image, picojoules."""

    total: NonNegative = Field(description="sum of the components")
    by_component: dict[str, NonNegative] = Field(description="by component of the machine")
    by_layer: dict[str, NonNegative] = Field(
        description="by layer; static energy belongs to no layer, so the sum may be below `total`"
    )


class Binds(Section):
    """What a lower bound comes from."""

    latency: str = Field(description="what binds the latency")
    interval: str = Field(description="what binds the interval")
    energy: str = Field(description="what binds the energy")


class LowerBound(Section):
    """What no schedule of this network on this machine can beat."""

    latency_ns: NonNegative = Field(description="of one image")
    interval_ns: NonNegative = Field(description="of a steady stream of images")
    energy_pj: NonNegative = Field(description="of one image")
    binds: Binds = Field(description="what each bound comes from")


class Simulated(Section):
    """What the timing simulator measured on the emitted program."""

    images: Count = Field(description="images in the simulated stream")
    latency_ns: NonNegative = Field(description="of the first image")
    interval_ns: NonNegative | None = Field(
        description="between images in the steady state; null after a single image"
    )
    energy_pj: Energy = Field(description="of one image")
    latency_deviation: float | None = Field(
        description="(simulated - planned) / planned latency; null without a plan"
    )
    core_utilisation: tuple[Share, ...] = Field(
        description="by core: share of the time in which its matrix or its vector unit works, "
        "whichever works more; transfers are left out, since they mostly wait"
    )


class Crossbars(Section):
    """How the machine's crossbars are used."""

    counting: Literal["physical", "logical"] = Field(
        description="`physical`: crossbars of single cells; `logical`: columns of whole weights"
    )
    used: Count = Field(description="crossbars that hold weights")
    available: Count = Field(description="crossbars of the machine")
    cell_utilisation: Share = Field(
        description="share of the used crossbars' cells that hold a weight of the network"
    )
    segments: Count = Field(
        default=1, description="parts of the network whose weights are there one after the other"
    )
    writes_per_image: Count = Field(
        default=0, description="times that the crossbar written most often is written for an image"
    )
    images_until_worn: float | None = Field(
        default=None,
        description="images after which its cells have had all the writes that they survive; null "
        "without writes, or if the machine does not say how many that are",
    )


class OperatorCoverage(Section):
    """All ops of one ONNX operator on one kind of unit, in the network as imported."""

    op_type: str = Field(description="ONNX operator")
    unit: Literal["crossbar", "dynamic", "digital", "host"] = Field(
        description="crossbars, products of two activations, digital units, or the host"
    )
    count: Count = Field(description="ops")
    macs: Count = Field(description="multiply-accumulates of one image; 0 where none is counted")
    elements: Count = Field(description="results of one image")
    reason: str = Field(description="why they run there")


class Coverage(Section):
    """Which part of the network's work runs where."""

    operators: tuple[OperatorCoverage, ...] = Field(description="by operator, most work first")
    crossbar_macs: Count = Field(description="multiply-accumulates with static weights")
    dynamic_macs: Count = Field(description="multiply-accumulates of two activations")
    host_macs: Count = Field(description="multiply-accumulates on the host, as far as counted")
    digital_elements: Count = Field(description="results of digital operators")
    host_elements: Count = Field(description="results of operators on the host")
    crossbar_share: Share = Field(description="share of the multiply-accumulates on crossbars")
    dynamic_share: Share = Field(description="share of the multiply-accumulates of two activations")
    host_share: Share = Field(description="share of the multiply-accumulates on the host")


class Check(Section):
    """The compiled program against the integer reference and against ONNX Runtime."""

    bit_exact: bool = Field(
        description="the executed program, with ideal cells, equals the reference bit for bit"
    )
    differing: Count = Field(description="output values that differ from the reference")
    compared: Count = Field(description="output values compared")
    input: str = Field(description="the input: `calibration` or `seeded noise`")
    onnxruntime_max_abs_diff: NonNegative | None = Field(
        description="largest difference to the float network in ONNX Runtime"
    )
    onnxruntime_sqnr_db: float | None = Field(
        description="signal to quantisation noise ratio against the float network"
    )
    adc_bits_needed: Count | None = Field(
        description="ADC resolution with which every possible sum is exact; null if digital"
    )
    adc_bits: Count | None = Field(description="ADC resolution of the machine; null if digital")


class Run(Section):
    """What `imcc run` measured on given inputs."""

    samples: Count = Field(description="inputs executed")
    ideal: bool = Field(description="with ideal converters, or with the machine's own ADC")
    accuracy: Share | None = Field(description="share of right labels; null without labels")
    onnxruntime_accuracy: Share | None = Field(description="of the float network")
    onnxruntime_max_abs_diff: NonNegative | None = Field(
        description="largest difference to the float network"
    )
    onnxruntime_sqnr_db: float | None = Field(
        description="signal to noise ratio against the float network"
    )


class Solver(Section):
    """One run of a solver in a pass."""

    solver: str = Field(description="its name")
    status: str = Field(description="optimal, feasible, heuristic or infeasible")
    value: float | None = Field(description="objective reached")
    bound: float | None = Field(description="bound proven; null if none")
    seconds: NonNegative = Field(description="time")


class Pass(Section):
    """One pass of the pipeline."""

    name: str = Field(description="its name")
    options: str = Field(description="the pass with every option spelled out")
    seconds: NonNegative = Field(description="time")
    solvers: tuple[Solver, ...] = Field(description="what solvers did in it")


class Layer(Section):
    """One op of the mapped network."""

    name: str = Field(description="the ONNX node it comes from")
    op_type: str = Field(description="ONNX operator")
    kind: Literal["crossbar", "dynamic", "digital"] = Field(
        description="a product with static weights, of two activations, or anything else"
    )
    shape: tuple[Count, ...] = Field(description="of its result")
    macs: Count = Field(description="multiply-accumulates")
    rows: Count | None = Field(description="rows of the weight matrix, all groups")
    columns: Count | None = Field(description="columns of the weight matrix, all groups")
    copies: Count | None = Field(description="copies of its weights")
    crossbars: Count | None = Field(description="crossbars of all copies")
    cores: tuple[Count, ...] = Field(description="cores it stands on")
    energy_pj: NonNegative | None = Field(description="of one image")
    decisions: dict[str, dict[str, Any]] = Field(
        description="decisions on the op by name, as a pin file takes them"
    )


class Hashes(Section):
    """SHA-256 of what went in and what came out."""

    model: str | None = Field(description="of the ONNX file; null if it was not a file")
    network: str = Field(description="of the imported network: its text and weights")
    hardware: str = Field(description="of the resolved hardware description")
    program: str | None = Field(description="of the program's tables")


class Report(Section):
    """Everything that one compilation, and commands run on its folder, found out."""

    format_version: Literal[1] = Field(default=1, description="of this file")
    model: str = Field(description="name of the network")
    model_file: str | None = Field(
        description="its ONNX file, relative to the folder or absolute; null if not at hand"
    )
    bindings: dict[str, float] = Field(description="dimensions and scalars that were bound")
    opset: Count = Field(description="ONNX opset of the network")
    hardware: str = Field(description="name of the machine")
    objective: Literal["latency", "throughput", "energy"] = Field(
        description="what the mapping was chosen for"
    )
    effort: Annotated[int, Field(ge=0, le=3)] = Field(description="solver effort")
    seed: int = Field(description="of every random choice")
    pipeline: str = Field(description="the passes as given, defaults left out")
    latency_ns: NonNegative | None = Field(description="of one image, as planned")
    interval_ns: NonNegative | None = Field(
        description="between images of a steady stream, as planned"
    )
    energy_pj: Energy | None = Field(description="of one image")
    area_mm2: NonNegative | None = Field(description="of the machine")
    power_mw: NonNegative | None = Field(description="mean power in a steady stream of images")
    lower_bound: LowerBound | None = Field(description="what cannot be beaten")
    simulated: Simulated | None = Field(description="what the timing simulator measured")
    crossbars: Crossbars | None = Field(description="use of the crossbars")
    coverage: Coverage = Field(description="which part of the network runs where")
    check: Check | None = Field(description="of `imcc compile --check`")
    run: Run | None = Field(default=None, description="of the last `imcc run`")
    passes: tuple[Pass, ...] = Field(description="in order")
    layers: tuple[Layer, ...] = Field(description="in order of the network")
    versions: dict[str, str] = Field(description="of imccompiler and of what it stands on")
    hashes: Hashes | None = Field(description="null where nothing was written")
    notes: tuple[str, ...] = Field(description="what the user should know")
