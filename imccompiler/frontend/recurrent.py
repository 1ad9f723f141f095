"""Import of LSTM, GRU and RNN: unrolled, products on crossbars and gates as digital operators.

One product with the input weights does all steps, and one with the recurrent weights each step (two
of a GRU that resets before it multiplies). All steps name the same weights. Where weights are data,
or an activation has no form on the vector unit, the whole operator runs on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.errors import ModelError
from imccompiler.frontend.activations import Activation, activations_of
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Node
from imccompiler.frontend.host import import_on_host
from imccompiler.frontend.moves import cut, join, pad_axis, permute
from imccompiler.frontend.recurrent_cells import CELLS, Cell, Gates, State
from imccompiler.ir.shapes import PLAIN
from imccompiler.ir.types import shape_of

W, R, B, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES = range(1, 8)  # inputs


@dataclass(frozen=True, slots=True)
class _Layer:
    """A recurrent node in the terms of its equations.

    Attributes:
        x: Input, (steps, batch, inputs).
        batch_first: Whether the node's tensors have the batch before the steps (`layout` 1).
        hidden: Size of the state.
        lengths: Steps of each sequence.
    """

    node: Node
    x: SSAValue
    batch_first: bool
    hidden: int
    lengths: tuple[int, ...]

    @property
    def steps(self) -> int:
        return shape_of(self.x)[0]

    @property
    def batch(self) -> int:
        return shape_of(self.x)[1]


def import_recurrent(b: ModuleBuilder, node: Node) -> None:
    """LSTM, GRU or RNN with constant weights; with others it runs on the host.

    Raises:
        ModelError: A direction is unknown, or shapes do not fit each other.
    """
    constants = (W, R, B, LENGTHS, PEEPHOLES)
    chosen = activations_of(node)
    if chosen is None or not all(b.is_constant(node.input(i)) for i in constants if node.input(i)):
        import_on_host(b, node)
        return
    layer = _layer(b, node)
    directions = _directions(node)
    per_direction = len(chosen) // len(directions)
    runs = [
        _run(
            b,
            layer,
            direction,
            chosen[direction * per_direction : (direction + 1) * per_direction],
            backward=backward,
        )
        for direction, backward in enumerate(directions)
    ]
    direction_axis, state_axis = (2, 1) if layer.batch_first else (1, 0)
    results = [
        join(b, node, [run[0] for run in runs], direction_axis, ""),
        *(
            join(b, node, [run[k] for run in runs], state_axis, f"last{k}")
            for k in range(1, len(runs[0]))
        ),
    ]
    for name, value in zip(node.outputs, results, strict=False):
        if name:
            b.define(name, value)


def _directions(node: Node) -> tuple[bool, ...]:
    """Of each direction whether it goes backward."""
    direction = node.attributes.get("direction", "forward")
    known = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    if direction not in known:
        raise ModelError(
            f"has direction {direction!r}",
            where=node.where,
            hint=f"ONNX knows {', '.join(known)}",
        )
    return known[str(direction)]


def _layer(b: ModuleBuilder, node: Node) -> _Layer:
    batch_first = bool(node.attributes.get("layout", 0))
    x = b.value(node.input(0))
    if batch_first:
        x = permute(b, node, x, (1, 0, 2), "X")
    steps, batch, _ = shape_of(x)
    lengths = (steps,) * batch
    if node.input(LENGTHS):
        lengths = tuple(b.constant(node.input(LENGTHS), node).astype(int).ravel().tolist())
    if len(lengths) != batch or not all(0 < n <= steps for n in lengths):
        raise ModelError(
            f"its sequences of {steps} steps have lengths {lengths}",
            where=node.where,
            hint="give one length from 1 to the number of steps for each sequence",
        )
    hidden = b.info(node.input(R), node).shape[-1]
    return _Layer(node, x, batch_first, hidden, lengths)


def _run(
    b: ModuleBuilder,
    layer: _Layer,
    direction: int,
    chosen: tuple[Activation, ...],
    *,
    backward: bool,
) -> list[SSAValue]:
    """The results of one direction: of all steps, then the last states."""
    node = layer.node
    cell = _cell(b, layer, direction, chosen)
    at = f"{direction}."
    whole = [_initial(b, layer, position, direction) for position in (INITIAL_H, INITIAL_C)]
    if len(set(layer.lengths)) == 1 and layer.lengths[0] == layer.steps:
        groups = [(range(layer.batch), layer.steps)]
    else:
        groups = [(range(i, i + 1), n) for i, n in enumerate(layer.lengths)]
    parts: list[list[SSAValue]] = []
    for rows, steps in groups:
        name = at if len(groups) == 1 else f"{at}{rows.start}."
        x = cut(b, node, layer.x, 0, range(steps), f"{name}steps")
        x = cut(b, node, x, 1, rows, f"{name}rows")
        state = State(
            *(
                v if v is None else cut(b, node, v, 0, rows, f"{name}state{k}")
                for k, v in enumerate(whole)
            )
        )
        parts.append(_unroll(b, layer, cell, x, state, name, backward=backward))
    batch_axes = (0, 0, 0) if layer.batch_first else (2, 1, 1)  # of all steps, and of states
    return [
        join(b, node, results, axis, f"{at}result{k}")
        for k, (axis, *results) in enumerate(zip(batch_axes, *parts, strict=False))
    ]


def _unroll(
    b: ModuleBuilder,
    layer: _Layer,
    cell: Cell,
    x: SSAValue,
    state: State,
    at: str,
    *,
    backward: bool,
) -> list[SSAValue]:
    """The steps of some sequences of one length."""
    node = layer.node
    steps, batch, _ = shape_of(x)
    inputs = b.matmul(node, x, cell.weights, cell.bias, window=PLAIN, part=f"{at}W")
    hidden: dict[int, SSAValue] = {}
    for count, step in enumerate(reversed(range(steps)) if backward else range(steps)):
        name = f"{at}{count}"
        row = cut(b, node, inputs, 0, range(step, step + 1), f"{name}.x")
        row = b.reshape(node, row, shape_of(row)[1:], f"{name}.row")
        state = CELLS[node.op_type](Gates(b, node, cell, name), row, state)
        if state.h is None:
            raise ModelError("has no state", where=node.where)
        hidden[step] = state.h
    return _results(b, layer, hidden, state, at, batch)


def _results(
    b: ModuleBuilder,
    layer: _Layer,
    hidden: dict[int, SSAValue],
    state: State,
    at: str,
    batch: int,
) -> list[SSAValue]:
    """Hidden states of all steps, zero behind the last, and the last states."""
    node, size = layer.node, layer.hidden
    shape = (batch, 1, 1, size) if layer.batch_first else (1, 1, batch, size)
    time_axis = 1 if layer.batch_first else 0
    rows = [b.reshape(node, hidden[i], shape, f"{at}{i}.h") for i in range(len(hidden))]
    whole = join(b, node, rows, time_axis, f"{at}h")
    missing = layer.steps - len(hidden)
    whole = pad_axis(b, node, whole, time_axis, (0, missing), f"{at}padded")
    last = (batch, 1, size) if layer.batch_first else (1, batch, size)
    finals = [v for v in (state.h, state.c) if v is not None]
    return [whole, *(b.reshape(node, v, last, f"{at}last{k}") for k, v in enumerate(finals))]


def _initial(b: ModuleBuilder, layer: _Layer, position: int, direction: int) -> SSAValue | None:
    """The initial state of one direction, (batch, hidden); None where it is zero."""
    node, name = layer.node, layer.node.input(position)
    if not name or (position == INITIAL_C and node.op_type != "LSTM"):
        return None
    axis = 1 if layer.batch_first else 0
    part = f"{direction}.initial{position}"
    if b.is_constant(name):
        array = np.take(b.constant(name, node), direction, axis=axis)
        return b.weight(f"{name}.{direction}", array) if np.any(array) else None
    x = cut(b, node, b.value(name), axis, range(direction, direction + 1), part)
    return b.reshape(node, x, (layer.batch, layer.hidden), f"{part}.row")


def _cell(b: ModuleBuilder, layer: _Layer, direction: int, chosen: tuple[Activation, ...]) -> Cell:
    """Weights and attributes of one direction."""
    node, hidden = layer.node, layer.hidden

    def take(position: int) -> Array | None:
        name = node.input(position)
        return b.constant(name, node)[direction] if name else None

    weights, recurrent, bias, peepholes = (take(i) for i in (W, R, B, PEEPHOLES))
    if weights is None or recurrent is None:
        raise ModelError("has no weights", where=node.where)
    rows = recurrent.shape[0]
    late = node.op_type == "GRU" and bool(node.attributes.get("linear_before_reset", 0))
    early_bias, late_bias = None, None
    if bias is not None:
        first, second = bias[:rows], bias[rows:].copy()
        if late:  # the candidate's recurrent bias is reset with its product
            late_bias = np.concatenate([np.zeros(rows - hidden, bias.dtype), second[-hidden:]])
            second[-hidden:] = 0
        early_bias = first + second
    name = f"{node.name}.{direction}"
    split = rows - hidden if node.op_type == "GRU" and not late else rows
    clip = float(node.attributes.get("clip", 0.0))
    return Cell(
        hidden=hidden,
        weights=b.weight(f"{name}.W", weights.T),
        bias=None if early_bias is None else b.weight(f"{name}.B", early_bias),
        recurrent=b.weight(f"{name}.R", recurrent[:split].T),
        candidate=None if split == rows else b.weight(f"{name}.Rh", recurrent[split:].T),
        late=late,
        late_bias=None if late_bias is None else b.weight(f"{name}.Rb", late_bias),
        late_constant=None
        if late_bias is None or not np.any(late_bias)
        else b.weight(f"{name}.Rbh", late_bias[-hidden:]),
        peepholes=None
        if peepholes is None
        else tuple(b.weight(f"{name}.P{k}", peepholes[k * hidden :][:hidden]) for k in range(3)),
        activations=chosen,
        clip=clip,
        input_forget=bool(node.attributes.get("input_forget", 0)),
    )
