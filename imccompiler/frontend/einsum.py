"""Import of Einsum: of two operands as a matrix product, of one as a transposition and a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.ir import SSAValue

from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Node
from imccompiler.frontend.host import import_on_host
from imccompiler.frontend.moves import permute
from imccompiler.frontend.products import multiply_matrices
from imccompiler.ir.types import shape_of

LETTERS = "".join(map(chr, range(0xE000, 0xE020)))  # stand for the axes of an ellipsis


@dataclass(frozen=True, slots=True)
class Equation:
    """Labels of the axes of two operands and of the result."""

    left: str
    right: str
    result: str

    @property
    def batch(self) -> str:
        """Labels that all have."""
        return "".join(c for c in self.result if c in self.left and c in self.right)

    @property
    def summed(self) -> str:
        """Labels that only the operands have."""
        return "".join(c for c in self.left if c in self.right and c not in self.result)

    def own(self, operand: str) -> str:
        """Labels of one operand and of the result."""
        other = self.right if operand == self.left else self.left
        return "".join(c for c in operand if c not in other)

    @property
    def is_product(self) -> bool:
        """Whether it is a batch of matrix products: no label is summed in one operand alone."""
        operands = (self.left, self.right)
        return all(len(set(labels)) == len(labels) for labels in (*operands, self.result)) and all(
            c in self.result for labels in operands for c in self.own(labels)
        )


def import_einsum(b: ModuleBuilder, node: Node) -> None:
    """Einsum of two operands as a product; anything else runs on the host."""
    if len(node.inputs) != 2:
        import_on_host(b, node)
        return
    shapes = [b.info(name, node).shape for name in node.inputs]
    equation = _equation(str(node.attributes["equation"]), [len(shape) for shape in shapes])
    if equation is None or not equation.is_product or equation.left == equation.right:
        import_on_host(b, node)
        return
    sizes: dict[str, int] = {}
    for labels, shape in zip((equation.left, equation.right), shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            if sizes.get(label, size) != size:  # an axis of size 1 broadcasts
                import_on_host(b, node)
                return
            sizes[label] = size
    _multiply(b, node, equation, sizes)


def _multiply(b: ModuleBuilder, node: Node, equation: Equation, sizes: dict[str, int]) -> None:
    batch, summed = equation.batch, equation.summed
    rows, columns = equation.own(equation.left), equation.own(equation.right)
    left = _operand(b, node, 0, equation.left, (batch, rows, summed), sizes)
    right = _operand(b, node, 1, equation.right, (batch, summed, columns), sizes)
    y = multiply_matrices(b, node, left, right)
    made = batch + rows + columns
    y = b.reshape(node, y, [sizes[c] for c in made], "axes")
    y = permute(b, node, y, [made.index(c) for c in equation.result], "Y")
    b.define(node.outputs[0], y)


def _operand(
    b: ModuleBuilder,
    node: Node,
    position: int,
    labels: str,
    groups: Sequence[str],
    sizes: dict[str, int],
) -> SSAValue | Array:
    """An operand as (batch, rows, columns), the labels of each group joined to one axis."""
    name = node.inputs[position]
    order = [labels.index(c) for c in "".join(groups)]
    shape = [prod(sizes[c] for c in group) for group in groups]
    if not groups[0]:
        shape = shape[1:]
    if b.is_constant(name):
        return b.constant(name, node).transpose(order).reshape(shape)
    part = "AB"[position]
    x = permute(b, node, b.value(name), order, part)
    return b.reshape(node, x, shape, f"{part}.matrix") if shape_of(x) != tuple(shape) else x


def _equation(text: str, ranks: Sequence[int]) -> Equation | None:
    """The labels of an equation of two operands, ellipses spelled out; None if it has no sense."""
    inputs, arrow, result = text.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        return None
    spelled: list[str] = []
    longest = 0
    for term, rank in zip(terms, ranks, strict=True):
        extra = rank - len(term.replace("...", ""))
        longest = max(longest, extra)
        spelled.append(term.replace("...", LETTERS[:extra][::-1]))
        if len(spelled[-1]) != rank:
            return None
    ellipsis = LETTERS[:longest][::-1]
    if not arrow:
        both = "".join(spelled)
        once = sorted(c for c in set(both) - set(ellipsis) if both.count(c) == 1)
        return Equation(spelled[0], spelled[1], ellipsis + "".join(once))
    return Equation(spelled[0], spelled[1], result.replace("...", ellipsis))
