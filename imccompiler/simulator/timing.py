"""Runs a program in time: the emitted streams, event by event, on the described machine.

What takes how long, and who waits for whom, is in `docs/program.md`, section Time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.energy import COMPONENTS, static_mw
from imccompiler.errors import ProgramError, UserInputError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import LAYER, OP, Op
from imccompiler.program.validate import check_code
from imccompiler.simulator.timing_code import layer_of_instruction

if TYPE_CHECKING:
    from imccompiler.simulator.timing_run import Run
    from imccompiler.simulator.timing_tables import CostTables

UNITS = ("matrix", "vector", "transfer")
EVENT = np.dtype(
    [
        ("core", np.int32),
        ("unit", np.int8),
        ("layer", np.int32),
        ("op", np.int32),
        ("start_ns", np.float64),
        ("end_ns", np.float64),
    ]
)
"""An operation at work on a unit (an index into `UNITS`)."""

_PS_PER_NS = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """What a run took.

    Attributes:
        latency_ns: Until the first image is done.
        interval_ns: Between images in a steady stream; None if only one was run.
        image_end_ns: When the last operation of each image retired, shape (images,).
        finish_ns: When the last operation of each core retired, shape (cores,).
        energy_pj: Of one image by component: that of the run over its images.
        energy_pj_by_layer: The same without the static part, shape (layers, components), columns
            as `cost.energy.COMPONENTS`.
        busy_ns: Time in which units held an operation, all images, shape (cores, units); a
            core's crossbar groups that work at once count each.
        layer_span_ns: First start and last end of each layer's operations; a layer without any
            has NaN. Shape (layers, 2).
        executed: Instructions run, all images, by name.
        events: Every operation, structured as `EVENT`, by core and start; None if not asked for.
    """

    latency_ns: float
    interval_ns: float | None
    image_end_ns: NDArray[np.float64]
    finish_ns: NDArray[np.float64]
    energy_pj: Mapping[str, float]
    energy_pj_by_layer: NDArray[np.float64]
    busy_ns: NDArray[np.float64]
    layer_span_ns: NDArray[np.float64]
    executed: Mapping[str, int]
    events: NDArray[np.void] | None


def simulate(
    program: Program, machine: Machine, *, images: int = 1, events: bool = False
) -> Timing:
    """Run a program in time.

    Args:
        program: What to run.
        machine: The machine that it was compiled for.
        images: How often; each core begins its next image when its stream is at an end.
        events: Whether to record every operation.

    Raises:
        ProgramError: The program breaks a rule of the instruction set that its time depends on,
            or its cores wait for each other (says who for whom).
        UserInputError: `images` is below 1.
    """
    from imccompiler.simulator import timing_run, timing_tables  # noqa: PLC0415 (numba)

    if images < 1:
        raise UserInputError(f"at least one image must be run, not {images}", where="images")
    check_code(program)
    if program.core_count > machine.core_count:
        raise ProgramError(
            f"the program uses {program.core_count} cores, {machine.name} has {machine.core_count}"
        )
    costs = timing_tables.build(program, machine)
    run = timing_run.run(program, machine, costs, images=images, events=events)
    image_end = np.maximum.accumulate(run.image_end_ps) / _PS_PER_NS
    by_layer = _by_layer(program, costs, run.row_runs, run.runs) / images
    active = np.flatnonzero(np.diff(program.core_start)).tolist()
    energies: list[float] = by_layer.sum(axis=0).tolist()
    components: dict[str, float] = dict(zip(COMPONENTS, energies, strict=True))
    components["static"] = static_mw(machine, active) * float(image_end[-1]) / images
    return Timing(
        latency_ns=float(image_end[0]),
        interval_ns=steady_interval(image_end) if images > 1 else None,
        image_end_ns=image_end,
        finish_ns=run.finish_ps / _PS_PER_NS,
        energy_pj=components,
        energy_pj_by_layer=by_layer[:-1],
        busy_ns=run.busy_ps / _PS_PER_NS,
        layer_span_ns=_spans(run.span_ps),
        executed=_executed(program, run.runs),
        events=_events(program, run) if events else None,
    )


def simulate_steady(program: Program, machine: Machine, *, images: int = 16) -> Timing:
    """Run a stream of images, for its `interval_ns`.

    Raises:
        ProgramError: As `simulate`.
        UserInputError: There are fewer than two images.
    """
    if images < 2:
        raise UserInputError("an interval needs at least two images", where="images")
    return simulate(program, machine, images=images)


def steady_interval(image_end: NDArray[np.float64]) -> float:
    """Time between images over the second half of a stream of at least two.

    The last is left out if there are more, since no other gets in its way.
    """
    last = max(1, len(image_end) - 2)
    first = last // 2
    return float(image_end[last] - image_end[first]) / (last - first)


def _by_layer(
    program: Program, costs: CostTables, row_runs: NDArray[Any], runs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dynamic energy from how often rows and instructions ran, shape (layers + 1, components).

    The last row is of instructions that work for no layer.
    """
    messages = np.flatnonzero(costs.noc_pj)
    of_message = layer_of_instruction(program)[messages]
    return _summed(
        len(program.layers) + 1,
        (costs.layer, costs.energies * row_runs[:, None]),
        (of_message, costs.noc_pj[messages] * runs[messages]),
    )


def _summed(
    layers: int,
    spent: tuple[NDArray[np.int64], NDArray[np.float64]],
    messages: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Energy by layer and component: of instructions all components, of messages the network's."""
    (layer, energies), (of_message, noc_pj) = spent, messages
    by_layer = np.zeros((layers, len(COMPONENTS)))
    for component in np.flatnonzero(energies.any(axis=0)):
        by_layer[:, component] = np.bincount(layer, energies[:, component], layers)
    by_layer[:, COMPONENTS.index("noc")] += np.bincount(of_message, noc_pj, layers)
    return by_layer


def _spans(spans_ps: NDArray[np.int64]) -> NDArray[np.float64]:
    spans = spans_ps / _PS_PER_NS
    spans[spans_ps[:, 1] == 0] = np.nan
    return spans


def _executed(program: Program, runs: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(program.code[:, OP], weights=runs)
    return {Op(op).name.lower(): int(counts[op]) for op in np.flatnonzero(counts).tolist()}


def _events(program: Program, run: Run) -> NDArray[np.void]:
    core, unit, instruction, start_ps, end_ps = run.log.T
    order = np.lexsort((unit, start_ps, core))
    events = np.zeros(len(order), EVENT)
    events["core"], events["unit"] = core[order], unit[order]
    events["layer"] = program.code[instruction[order], LAYER]
    events["op"] = program.code[instruction[order], OP]
    events["start_ns"] = start_ps[order] / _PS_PER_NS
    events["end_ns"] = end_ps[order] / _PS_PER_NS
    return events


def spent_pj(program: Program, machine: Machine) -> NDArray[np.float64]:
    """Dynamic energy of one image without running it, shape (layers, components).

    How often an instruction runs follows from the loops around it, the bit widths from the last
    `setbw` before it.
    """
    from imccompiler.simulator.timing_energy import (  # noqa: PLC0415
        FORM_LAYER,
        energies_pj,
        messages_pj,
    )
    from imccompiler.simulator.timing_tally import tally  # noqa: PLC0415 (numba)

    forms, runs, (index, core, message_runs) = tally(program, machine)
    spent = energies_pj(program, machine, forms) * runs[:, None]
    noc_pj = messages_pj(program, machine, index, core) * message_runs
    layers = len(program.layers)
    of_message = program.code[index, LAYER]
    return _summed(
        layers + 1,
        (forms[:, FORM_LAYER], spent),
        (np.where(of_message < 0, layers, of_message), noc_pj),
    )[:-1]
