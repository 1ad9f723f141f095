"""Rewrites of the network: what they are written with, and the loop that applies them.

A rule is a function of a `Rewriter` and an op that either changes the module and says True, or
leaves it alone. Every rule takes the module nearer to its end form, so applying them ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import InternalError
from imccompiler.ir.attributes import to_attributes
from imccompiler.ir.decisions import Source
from imccompiler.ir.dialect import DigitalOp, InputOp, MatmulOp, WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.types import dtype_of, tensor_type

Array = NDArray[Any]
Op = TypeVar("Op", bound=Operation)

ROUNDS = 1000  # a network needs about as many as its longest chain of rewritable ops
DECISIONS = ("quant", "integer", "tiling", "segment", "replication", "placement", "grain")


class Rewriter:
    """Changes a module in place; constants are read from the store and added to it."""

    def __init__(self, module: ModuleOp, store: WeightStore) -> None:
        self.module = module
        self.store = store

    def constant(self, value: SSAValue) -> Array | None:
        """The values of a weight, None for an activation."""
        return self.store[value.owner.key.data] if isinstance(value.owner, WeightOp) else None

    def scalar(self, value: SSAValue) -> float | None:
        """The value of a weight of one element, None for all else."""
        array = self.constant(value)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    def weight(self, before: Operation, name: str, array: Array) -> SSAValue:
        """Add a constant ahead of an op; its key is `name`, numbered where that is taken."""
        key, count = name, 1
        while key in self.store:
            count += 1
            key = f"{name}.{count}"
        self.store.add(key, array)
        return self.insert(before, WeightOp(key, tensor_type(array.shape, array.dtype)))

    def insert(self, before: Operation, op: WeightOp | DigitalOp) -> SSAValue:
        """Insert an op ahead of another and return its result."""
        self.module.body.block.insert_op_before(op, before)
        return op.result

    def digital(
        self,
        like: DigitalOp,
        op_type: str,
        operands: Sequence[SSAValue],
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        *,
        part: str = "",
    ) -> SSAValue:
        """Insert a digital op ahead of `like`, with its element type and its source.

        `part` tells the op apart from another that is made of the same source.
        """
        kind = tensor_type(shape, dtype_of(like.result))
        source = like.source
        if part and source is not None:
            source = Source(node=f"{source.node}/{part}", op_type=source.op_type)
        return self.insert(
            like, DigitalOp(op_type, operands, kind, to_attributes(attributes or {}), source)
        )

    def replace(self, op: Operation, value: SSAValue) -> None:
        """Let `value` stand for the result of `op`, and erase the op."""
        op.results[0].replace_all_uses_with(value)
        op.detach()
        op.erase()


Rule = Callable[[Rewriter, Operation], bool]


def apply_rules(module: ModuleOp, store: WeightStore, rules: Sequence[Rule]) -> None:
    """Apply rules to all ops until none changes anything, then drop what nothing needs.

    Raises:
        InternalError: The rules do not come to an end.
    """
    rewriter = Rewriter(module, store)
    for _ in range(ROUNDS):
        changed = False
        for op in list(module.body.block.ops):
            for rule in rules:
                if op.parent is not None and rule(rewriter, op):
                    changed = True
        erase_dead(module)
        if not changed:
            return
    raise InternalError("rewriting does not come to an end", where=rules[0].__name__)


def erase_dead(module: ModuleOp) -> None:
    """Erase ops whose result nothing uses; inputs stay, they are the network's interface."""
    for op in reversed(list(module.body.block.ops)):
        if op.results and not op.results[0].uses and not isinstance(op, InputOp):
            op.detach()
            op.erase()


def digital(op: Operation, *op_types: str) -> DigitalOp | None:
    """The op if it is a digital operator of one of these types about which nothing is decided."""
    if isinstance(op, DigitalOp) and op.op_type.data in op_types and not is_decided(op):
        return op
    return None


def producer(value: SSAValue, kind: type[Op]) -> Op | None:
    """The op that produces `value`, if it is of a kind and `value` has this one use."""
    owner = value.owner
    return owner if isinstance(owner, kind) and value.has_one_use() else None


def user(value: SSAValue, kind: type[Op]) -> Op | None:
    """The op that uses `value`, if it is of a kind and the only one."""
    use = value.get_user_of_unique_use()
    return use if isinstance(use, kind) else None


def is_decided(op: Operation) -> bool:
    """Whether a pass, a pin or an edit has decided something about the op: then it stays."""
    return any(name in op.properties for name in DECISIONS)


def is_open(op: MatmulOp) -> bool:
    """Whether a matmul's weights and result may still change: no codes are decided."""
    return op.quant is None and op.integer is None


def is_float(value: SSAValue) -> bool:
    """Whether a tensor holds floating-point numbers."""
    return np.issubdtype(dtype_of(value), np.floating)
