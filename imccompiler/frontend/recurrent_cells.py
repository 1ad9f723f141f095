"""One step of LSTM, GRU and RNN in digital operators; the equations are ONNX's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.frontend.activations import ACTIVATIONS, Activation
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.graph import Node
from imccompiler.frontend.moves import cut
from imccompiler.ir.shapes import PLAIN
from imccompiler.ir.types import shape_of


class State(NamedTuple):
    """Hidden and cell state, (batch, hidden) each; None where it is zero, or there is none."""

    h: SSAValue | None
    c: SSAValue | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction of a recurrent operator.

    Attributes:
        hidden: Size of the state.
        weights, bias: Of the product with the input, (inputs, gates hidden) and (gates hidden).
        recurrent: Of the product with the state; of a GRU that resets first without the candidate.
        candidate: Of such a GRU the candidate's.
        late: Whether a GRU resets after it multiplied.
        late_bias, late_constant: What such a GRU adds to the recurrent product before it resets:
            to all of it, and to the candidate's part.
        peepholes: Of an LSTM: of the gates i, o, f.
        activations: Functions f, g, h.
        clip: Bound of the activations' inputs; 0 for none.
        input_forget: Of an LSTM whether the forget gate is what the input gate leaves.
    """

    hidden: int
    weights: SSAValue
    bias: SSAValue | None
    recurrent: SSAValue
    candidate: SSAValue | None
    late: bool
    late_bias: SSAValue | None
    late_constant: SSAValue | None
    peepholes: tuple[SSAValue, ...] | None
    activations: tuple[Activation, ...]
    clip: float
    input_forget: bool


@dataclass(frozen=True, slots=True)
class Gates:
    """Appends the operators of one step; `at` names them."""

    b: ModuleBuilder
    node: Node
    cell: Cell
    at: str

    def binary(self, op_type: str, x: SSAValue, y: SSAValue, part: str) -> SSAValue:
        """Add, Sub or Mul."""
        shape = np.broadcast_shapes(shape_of(x), shape_of(y))
        return self.b.digital(self.node, op_type, [x, y], shape, part=f"{self.at}.{part}")

    def multiply(
        self, h: SSAValue, weights: SSAValue, bias: SSAValue | None, part: str
    ) -> SSAValue:
        """A product of the state with recurrent weights; of a constant state a constant."""
        if (state := self.b.known(h)) is not None and (matrix := self.b.known(weights)) is not None:
            addend = None if bias is None else self.b.known(bias)
            product = state @ matrix if addend is None else state @ matrix + addend
            return self.b.weight(f"{self.node.name}.{self.at}.{part}", product)
        return self.b.matmul(self.node, h, weights, bias, window=PLAIN, part=f"{self.at}.{part}")

    def gate(self, x: SSAValue, first: int, last: int, part: str) -> SSAValue:
        """The part of some gates."""
        size = self.cell.hidden
        return cut(self.b, self.node, x, 1, range(first * size, last * size), f"{self.at}.{part}")

    def unary(self, op_type: str, x: SSAValue, part: str, **attributes: float) -> SSAValue:
        """An elementwise operator with attributes."""
        part = f"{self.at}.{part}"
        return self.b.digital(self.node, op_type, [x], shape_of(x), attributes, part=part)

    def activate(self, which: int, x: SSAValue, part: str, *, clips: bool = True) -> SSAValue:
        """An activation function of the cell on a clipped value."""
        clip, function = self.cell.clip, self.cell.activations[which]
        if clip > 0 and clips:
            x = self.unary("Clip", x, f"{part}.clip", min=-clip, max=clip)
        if function.name == "Affine":
            x = self._times(x, function.alpha, f"{part}.alpha")
            return self._plus(x, function.beta, part)
        if function.name == "ScaledTanh":
            x = self._times(x, function.beta, f"{part}.beta")
            return self._times(self.unary("Tanh", x, f"{part}.tanh"), function.alpha, part)
        alpha, beta = ACTIVATIONS[function.name]
        given = {} if alpha is None else {"alpha": function.alpha}
        given |= {} if beta is None else {"beta": function.beta}
        return self.unary(function.name, x, part, **given)

    def remainder(self, x: SSAValue, part: str) -> SSAValue:
        """1 - x."""
        one = self.b.weight(f"{self.node.name}.{self.at}.one", np.array(1.0, np.float32))
        return self.binary("Sub", one, x, part)

    def _times(self, x: SSAValue, factor: float, part: str) -> SSAValue:
        constant = self.b.weight(f"{self.node.name}.{self.at}.{part}", np.array(factor, np.float32))
        return self.binary("Mul", x, constant, part)

    def _plus(self, x: SSAValue, addend: float, part: str) -> SSAValue:
        constant = self.b.weight(f"{self.node.name}.{self.at}.{part}", np.array(addend, np.float32))
        return self.binary("Add", x, constant, part)


def rnn_step(g: Gates, x: SSAValue, state: State) -> State:
    """H' = f(X W + H R + B)."""
    return State(g.activate(0, _with_state(g, x, state.h), "H"))


def _with_state(g: Gates, x: SSAValue, h: SSAValue | None) -> SSAValue:
    """The input's product and the state's, which is left out where the state is zero."""
    if h is None:
        return x
    return g.binary("Add", x, g.multiply(h, g.cell.recurrent, None, "R"), "sum")


def lstm_step(g: Gates, x: SSAValue, state: State) -> State:
    """C' = f C + i c and H' = o h(C'), with the gates i, o, f and the candidate c in this order."""
    pre, c = _with_state(g, x, state.h), state.c
    i_peep, o_peep, f_peep = g.cell.peepholes or (None, None, None)
    if g.cell.peepholes is None and not g.cell.input_forget:
        gates = g.activate(0, g.gate(pre, 0, 3, "gates"), "iof")
        i, o, f = (g.gate(gates, k, k + 1, name) for k, name in enumerate("iof"))
    else:
        i = g.activate(0, _peeped(g, g.gate(pre, 0, 1, "i.pre"), i_peep, c, "i"), "i")
        if g.cell.input_forget:
            f = g.remainder(i, "f")
        else:
            f = g.activate(0, _peeped(g, g.gate(pre, 2, 3, "f.pre"), f_peep, c, "f"), "f")
        o = None
    new = g.binary("Mul", i, g.activate(1, g.gate(pre, 3, 4, "c.pre"), "c"), "ic")
    cell = new if c is None else g.binary("Add", g.binary("Mul", f, c, "fc"), new, "C")
    if o is None:
        o = g.activate(0, _peeped(g, g.gate(pre, 1, 2, "o.pre"), o_peep, cell, "o"), "o")
    return State(g.binary("Mul", o, g.activate(2, cell, "h", clips=False), "H"), cell)


def _peeped(
    g: Gates, pre: SSAValue, peephole: SSAValue | None, c: SSAValue | None, gate: str
) -> SSAValue:
    """A gate that also looks at the cell state."""
    if peephole is None or c is None:
        return pre
    return g.binary("Add", pre, g.binary("Mul", c, peephole, f"{gate}.peep"), f"{gate}.sum")


def gru_step(g: Gates, x: SSAValue, state: State) -> State:
    """H' = (1 - z) h + z H, with the gates z, r and the candidate h in this order."""
    h, cell = state.h, g.cell
    candidate = g.gate(x, 2, 3, "h.x")
    if h is None:  # what the state adds is zero, but for the bias that is reset
        gates = g.activate(0, g.gate(x, 0, 2, "gates"), "zr")
        z, r = (g.gate(gates, k, k + 1, name) for k, name in enumerate("zr"))
        if cell.late_constant is not None:
            reset = g.binary("Mul", r, cell.late_constant, "reset")
            candidate = g.binary("Add", candidate, reset, "h.sum")
        new = g.activate(1, candidate, "h")
        return State(g.binary("Sub", new, g.binary("Mul", z, new, "zh"), "H"))
    product = g.multiply(h, cell.recurrent, cell.late_bias, "R")
    early = g.binary("Add", g.gate(x, 0, 2, "zr.x"), g.gate(product, 0, 2, "zr.R"), "zr.sum")
    gates = g.activate(0, early, "zr")
    z, r = (g.gate(gates, k, k + 1, name) for k, name in enumerate("zr"))
    if cell.candidate is None:
        reset = g.binary("Mul", r, g.gate(product, 2, 3, "h.R"), "reset")
    else:
        reset = g.multiply(g.binary("Mul", r, h, "rH"), cell.candidate, None, "Rh")
    new = g.activate(1, g.binary("Add", candidate, reset, "h.sum"), "h")
    kept = g.binary("Mul", z, g.binary("Sub", h, new, "H-h"), "z(H-h)")
    return State(g.binary("Add", new, kept, "H"))


CELLS: Mapping[str, Callable[[Gates, SSAValue, State], State]] = {
    "GRU": gru_step,
    "LSTM": lstm_step,
    "RNN": rnn_step,
}
