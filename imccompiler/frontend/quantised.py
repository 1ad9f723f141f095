"""Quantised networks: their scales, zero points and integers become decisions of the module.

On a static graph, before it is imported. All forms are brought to one: real tensors, constants
whose integers are remembered, and nodes `Requantize` that say by which codes a tensor is held
(`import_requantize`). An integer tensor that a QuantizeLinear makes stands for the real values
of its codes from there on; where a node really needs the integers they are computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.evaluate import Evaluator
from imccompiler.frontend.graph import Graph, Node, TensorInfo
from imccompiler.frontend.quantised_code import Code, ConstantCodes

DOMAIN = "imc"  # of the nodes that only the importer knows
REQUANTIZE = "Requantize"

MOVES = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity"}
    | {"MaxPool", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze"}
)
"""Operators that hand codes on unchanged, or the largest of them."""

CONSTANT_MOVES = frozenset({"Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class Coded:
    """An integer tensor that stands for real values.

    Attributes:
        real: The tensor of the values.
        code: Their codes.
        channels: Scales by which they are multiplied beside the code's, one a channel; or None.
    """

    real: str
    code: Code
    channels: Array | None = None


class Lowering:
    """A graph that is being lowered: nodes so far, and what tensors stand for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = graph.constants
        self.types = dict(graph.types)
        self.nodes: list[Node] = []
        self.coded: dict[str, Coded] = {}
        self.codes: dict[str, ConstantCodes] = {}
        self.inputs: dict[str, Code] = {}
        self.notes: dict[str, None] = {}
        self.absorbed: set[str] = set()
        self.consumers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.consumers[name].append(node)
        self.producers = {name: node for node in graph.nodes for name in node.outputs}
        self._known: set[str] = set()
        self._integers: dict[str, str] = {}
        self._names = Counter(node.name for node in graph.nodes)
        self._evaluator: Evaluator | None = None

    # ---- what is known

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known before the network runs."""
        return not name or name in self.constants or name in self._known

    def array(self, name: str) -> Array:
        """The values of a constant."""
        if name not in self.constants:
            if self._evaluator is None:
                graph = replace(self.graph, nodes=tuple(self.nodes), types=self.types)
                self._evaluator = Evaluator(graph)
            return self._evaluator.array(name)
        return self.constants.array(name)

    def scalar(self, name: str, node: Node, default: float | None = None) -> float:
        """The value of a constant of one element.

        Raises:
            ModelError: It is none.
        """
        if not name and default is not None:
            return default
        array = self.array(name) if self.is_constant(name) and name else np.zeros(0)
        if array.size != 1:
            raise ModelError(
                f"input {name!r} is not one number that is known before the network runs",
                where=node.where,
                hint="export the network with constant scales, zero points and widths",
            )
        return float(array.reshape(()))

    def shape(self, name: str, node: Node) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._info(name, node).shape

    def _info(self, name: str, node: Node) -> TensorInfo:
        if name not in self.types and name in self.constants:
            array = self.constants.array(name)
            return TensorInfo(array.shape, array.dtype)
        return replace(self.graph, types=self.types).type_of(name, node.where)

    def only_user(self, name: str) -> Node | None:
        """The node that alone reads a tensor, which is no output."""
        users = self.consumers[name]
        return users[0] if len(users) == 1 and name not in self.graph.outputs else None

    # ---- what is made

    def constant(self, name: str, array: Array) -> str:
        """Add a constant under a name that is free."""
        name = self.fresh(name)
        self.constants.add(name, array)
        self.types[name] = TensorInfo(array.shape, array.dtype)
        return name

    def fresh(self, name: str) -> str:
        """A name that neither a node nor a tensor has."""
        free, count = name, 1
        while self._names[free] or free in self.types or free in self.constants:
            count += 1
            free = f"{name}.{count}"
        self._names[free] += 1
        return free

    def emit(
        self,
        like: Node,
        op_type: str,
        inputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        *,
        shape: Sequence[int] | None = None,
        out: str = "",
        part: str = "",
        dtype: Any = np.float32,
        domain: str = "",
    ) -> str:
        """Append a node and return its result; it has the name of `like`, or a part of it."""
        name = self.fresh(f"{like.name}/{part}") if part else like.name
        if not out:
            out = self.fresh(f"{name}/out")
        size = tuple(self.shape(inputs[0], like) if shape is None else shape)
        self.types[out] = TensorInfo(size, np.dtype(dtype))
        self._append(Node(name, op_type, tuple(inputs), (out,), attributes or {}, domain))
        return out

    def requantize(
        self,
        like: Node,
        x: str,
        code: Code,
        *,
        out: str = "",
        part: str = "codes",
        dtype: Any = None,
    ) -> str:
        """Append what makes a tensor be held by codes."""
        kind = np.float32 if dtype is None else dtype
        if code.bounds is not None:
            low, high = code.bounds
            x = self.emit(like, "Clip", [x], {"min": low, "max": high}, part=f"{part}/clip")
        return self.emit(
            like, REQUANTIZE, [x], {"code": code}, out=out, part=part, dtype=kind, domain=DOMAIN
        )

    def affine(
        self, like: Node, op_type: str, x: str, value: Any, *, part: str, dtype: Any = np.float32
    ) -> str:
        """Append Add, Sub, Mul or Div by a constant."""
        operand = self.constant(f"{like.name}/{part}/by", np.asarray(value, np.float32))
        return self.emit(like, op_type, [x, operand], part=part, dtype=dtype)

    def alias(self, like: Node, out: str, x: str) -> None:
        """Let a tensor be another."""
        self.emit(like, "Identity", [x], out=out, part="same", dtype=self._info(x, like).dtype)

    def note(self, text: str) -> None:
        """Tell the user something, once."""
        self.notes[text] = None

    def keep(self, node: Node) -> None:
        """Append a node as it is; integers that it needs are computed."""
        inputs = tuple(self.integers(i, node) if i in self.coded else i for i in node.inputs)
        self._append(replace(node, inputs=inputs))
        if node.op_type in CONSTANT_MOVES and not node.domain and node.inputs[0] in self.codes:
            self.codes[node.outputs[0]] = self.codes[node.inputs[0]]

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self._evaluator = None
        if not node.domain and all(self.is_constant(name) for name in node.inputs):
            self._known.update(node.outputs)

    # ---- integer tensors

    def define(
        self, like: Node, out: str, x: str, code: Code, channels: Array | None = None
    ) -> None:
        """Let the integer tensor `out` stand for the codes of `x`."""
        real = self.fresh(f"{out}/real") if out in self.graph.outputs else out
        self.requantize(like, x, code, out=real, part="")
        self.coded[out] = Coded(real, code, channels)

    def move(self, node: Node) -> bool:
        """Let a node that only moves integers move the real values; whether it is one."""
        data = [name for name in node.inputs if name in self.coded]
        codes = {(c.code, c.channels is None) for c in map(self.coded.__getitem__, data)}
        joined = node.op_type == "Concat" and len(data) == len(node.inputs)
        single = data == [node.input(0)] and len([name for name in node.outputs if name]) == 1
        split = node.op_type == "Split" and data == [node.input(0)]
        if (
            node.op_type not in MOVES
            or node.domain
            or len(codes) != 1
            or not (joined or single or split)
        ):
            return False
        ((code, plain),) = codes
        if not plain:
            return False
        inputs = [self.coded[name].real if name in self.coded else name for name in node.inputs]
        if node.op_type == "Pad" and node.attributes.get("mode", "constant") == "constant":
            fill = int(self.scalar(node.input(2), node, 0.0))
            inputs += [""] * (3 - len(inputs))
            inputs[2] = self.constant(f"{node.name}/fill", np.array(code.real(fill), np.float32))
        outputs: list[str] = []
        for name in node.outputs:
            real = self.fresh(f"{name}/real") if name in self.graph.outputs else name
            self.types[real] = TensorInfo(self.shape(name, node), np.dtype(np.float32))
            self.coded[name] = Coded(real, code)
            outputs.append(real)
        self._append(replace(node, inputs=tuple(inputs), outputs=tuple(outputs)))
        return True

    def integers(self, name: str, like: Node, *, out: str = "") -> str:
        """The integers of a tensor that stands for real values.

        Each step keeps the codes and changes what they mean: value, step count, integer.
        """
        if name in self._integers and not out:
            return self._integers[name]
        coded, dtype = self.coded[name], self.graph.types[name].dtype
        code, x = coded.code, coded.real
        owner = self.producers.get(name, like)
        if code.scale != 1:
            steps = replace(code, scale=1.0)
            kind = np.float32 if code.zero_point or out else dtype
            x = self.affine(owner, "Div", x, code.scale, part="steps")
            x = self.requantize(owner, x, steps, part="steps/codes", dtype=kind)
        if code.zero_point or out:
            x = self.affine(owner, "Add", x, code.zero_point, part="integers", dtype=dtype)
            whole = replace(code, scale=1.0, zero_point=0)
            x = self.requantize(owner, x, whole, out=out, part="integers/codes", dtype=dtype)
        self._integers[name] = x
        return x


Rule = Callable[[Lowering, Node], None]


def lower(graph: Graph, rules: Mapping[str, Rule]) -> Graph:
    """The graph without integers that stand for real values.

    Args:
        graph: Static.
        rules: What to do with a node, by operator.

    Raises:
        ModelError: A form of quantisation is not supported.
    """
    if not any(node.op_type in rules for node in graph.nodes):
        return graph
    lowering = Lowering(graph)
    for node in graph.nodes:
        if node.name in lowering.absorbed:
            continue
        if (rule := rules.get(node.op_type)) is not None:
            rule(lowering, node)
        elif not lowering.move(node):
            lowering.keep(node)
    for name in graph.outputs:
        if name in lowering.coded:
            lowering.integers(name, lowering.producers[name], out=name)
    return replace(
        graph,
        nodes=tuple(lowering.nodes),
        types=lowering.types,
        codes=lowering.codes,
        input_codes=lowering.inputs,
        notes=tuple(lowering.notes),
    )
