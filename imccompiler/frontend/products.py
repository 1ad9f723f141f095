"""Import of products: Conv, Gemm and MatMul, with static weights or of two activations."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.errors import InternalError, ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.convolution import convolve
from imccompiler.frontend.graph import Node
from imccompiler.frontend.host import import_on_host
from imccompiler.frontend.moves import cut, join
from imccompiler.frontend.window import window_attributes
from imccompiler.ir.decisions import Window
from imccompiler.ir.shapes import PLAIN
from imccompiler.ir.types import shape_of


def import_conv(b: ModuleBuilder, node: Node) -> None:
    """Conv with constant weights; with others it runs on the host."""
    weight, bias = node.input(1), node.input(2)
    if not b.is_constant(weight) or (bias and not b.is_constant(bias)):
        import_on_host(b, node)
        return
    x = b.value(node.input(0))
    kernel = b.info(weight, node).shape[2:]
    given = node.attributes.get("kernel_shape")
    if given and tuple(given) != kernel:
        raise ModelError(f"kernel_shape {tuple(given)} and weights {kernel}", where=node.where)
    lists = window_attributes(node, node.attributes, shape_of(x), kernel)
    window = Window(
        kernel=kernel,
        strides=tuple(lists["strides"]),
        pads=tuple(lists["pads"]),
        dilations=tuple(lists["dilations"]),
        groups=int(node.attributes.get("group", 1)),
    )
    require_finite(b, node, weight, bias)
    bias_value = b.value(bias) if bias else None
    named = (weight, b.constant(weight, node))
    b.define(node.outputs[0], convolve(b, node, x, named, bias_value, window))


def import_gemm(b: ModuleBuilder, node: Node) -> None:
    """Import alpha A' B' + beta C; alpha and beta go into constant weights and bias."""
    a, other, addend = node.input(0), node.input(1), node.input(2)
    alpha, beta = (float(node.attributes.get(k, 1.0)) for k in ("alpha", "beta"))
    flip_a, flip_b = (bool(node.attributes.get(k, 0)) for k in ("transA", "transB"))
    if b.is_constant(other):
        require_finite(b, node, other, addend if b.is_constant(addend) else "")
        x = b.transpose(node, b.value(a), "A") if flip_a else b.value(a)
        weight = _weight(b, node, other, flip=flip_b, scale=alpha)
        bias = _bias(b, node, addend, beta)
        y = b.matmul(node, x, weight, bias, window=PLAIN)
        if bias is not None:
            addend = ""
    elif b.is_constant(a):  # A' B' = (B'^T A'^T)^T
        require_finite(b, node, a)
        x = b.value(other) if flip_b else b.transpose(node, b.value(other), "B")
        weight = _weight(b, node, a, flip=not flip_a, scale=alpha)
        y = b.transpose(node, b.matmul(node, x, weight, window=PLAIN), "Y")
    else:
        lhs = b.transpose(node, b.value(a), "A") if flip_a else b.value(a)
        rhs = b.transpose(node, b.value(other), "B") if flip_b else b.value(other)
        y = _scaled(b, node, b.dynamic_matmul(node, lhs, rhs), alpha, "alpha")
    if addend and beta != 0:
        term = _scaled(b, node, b.value(addend), beta, "beta")
        y = b.digital(node, "Add", [y, term], shape_of(y), part="C")
    b.define(node.outputs[0], y)


def import_matmul(b: ModuleBuilder, node: Node) -> None:
    """MatMul: static weights on either side, or two activations."""
    left, right = node.input(0), node.input(1)
    result = b.info(node.outputs[0], node)
    if result.dtype.kind in "iu":  # crossbars hold codes of reals
        import_on_host(b, node)
        return
    if (y := _vector_by_matrix(b, node)) is not None:
        b.define(node.outputs[0], b.reshape(node, y, result.shape, "Y"))
        return
    operands: list[SSAValue | Array] = []
    for position, name in enumerate((left, right)):
        operand = b.constant(name, node) if b.is_constant(name) else b.value(name)
        shape = b.info(name, node).shape
        if len(shape) == 1:
            whole = (1, *shape) if position == 0 else (*shape, 1)
            part = "AB"[position]
            operand = (
                b.reshape(node, operand, whole, part)
                if isinstance(operand, SSAValue)
                else operand.reshape(whole)
            )
        operands.append(operand)
    y = multiply_matrices(b, node, operands[0], operands[1])
    b.define(node.outputs[0], b.reshape(node, y, result.shape, "Y"))


def _vector_by_matrix(b: ModuleBuilder, node: Node) -> SSAValue | None:
    """The product of one vector with a constant matrix on either side, if it is that."""
    for x, weight in (node.inputs[:2], node.inputs[1::-1]):
        shape = b.info(weight, node).shape
        vector = len(b.info(x, node).shape) == 1 and not b.is_constant(x)
        if vector and b.is_constant(weight) and _is_matrix(shape) and len(shape) > 1:
            flip = x == node.input(1)
            require_finite(b, node, weight)
            return b.matmul(node, b.value(x), _weight(b, node, weight, flip=flip), window=PLAIN)
    return None


def multiply_matrices(
    b: ModuleBuilder, node: Node, left: SSAValue | Array, right: SSAValue | Array
) -> SSAValue:
    """The product of (..., M, K) and (..., K, N), of which arrays are static weights.

    A batch of different weights is a product for each, on its part of the activations.
    """
    if isinstance(right, SSAValue) and isinstance(left, SSAValue):
        return b.dynamic_matmul(node, left, right)
    if not isinstance(right, SSAValue):
        if isinstance(left, SSAValue):
            return _by_weights(b, node, left, right, node.input(1))
        raise InternalError("a product of constants is a constant", where=node.where)
    flipped = b.transpose(node, right, "B")
    y = _by_weights(b, node, flipped, np.swapaxes(_array(left), -1, -2), f"{node.input(0)}.T")
    return b.transpose(node, y, "Y")


def _array(value: SSAValue | Array) -> Array:
    if isinstance(value, SSAValue):
        raise InternalError("an activation is no weight")
    return value


def _by_weights(b: ModuleBuilder, node: Node, x: SSAValue, weights: Array, name: str) -> SSAValue:
    """(..., M, K) times one or more weights (..., K, N)."""
    _require_finite(weights, name, node)
    if _is_matrix(weights.shape):
        matrix = weights if weights.ndim == 2 else weights.reshape(weights.shape[-2:])
        y = b.matmul(node, x, b.named_weight(name, matrix), window=PLAIN)
        rank = max(len(shape_of(y)), weights.ndim)
        return b.reshape(node, y, (*[1] * (rank - len(shape_of(y))), *shape_of(y)), "rank")
    shape, inner = shape_of(x), weights.shape[-2:]
    batch = np.broadcast_shapes(shape[:-2], weights.shape[:-2])
    wide = (*batch, *shape[-2:])
    if shape != wide:
        rank = (*[1] * (len(wide) - len(shape)), *shape)
        x = b.reshape(node, x, rank, "rank")
        x = b.digital(node, "Expand", [x], wide, {"shape": list(wide)}, part="batch")
    count = math.prod(batch)
    x = b.reshape(node, x, (count, *shape[-2:]), "flat")
    each = np.broadcast_to(weights, (*batch, *inner)).reshape(count, *inner)
    products = [
        b.matmul(
            node,
            cut(b, node, x, 0, range(i, i + 1), f"{i}.rows"),
            b.weight(f"{name}.{i}", each[i]),
            window=PLAIN,
            part=str(i),
        )
        for i in range(count)
    ]
    y = join(b, node, products, 0)
    return b.reshape(node, y, (*batch, shape[-2], inner[1]), "batched")


def require_finite(b: ModuleBuilder, node: Node, *names: str) -> None:
    """Raise a ModelError if a constant has infinite values: no crossbar can hold them."""
    for name in filter(None, names):
        _require_finite(b.constant(name, node), name, node)


def _require_finite(value: Array, name: str, node: Node) -> None:
    if value.size and not (np.isfinite(value.min()) and np.isfinite(value.max())):
        raise ModelError(
            f"{name!r} is infinite in places",
            where=node.where,
            hint="replace the infinite weights, or export the network again",
        )


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 1 and all(dim == 1 for dim in shape[:-2])


def _weight(
    b: ModuleBuilder, node: Node, name: str, *, flip: bool = False, scale: float = 1.0
) -> SSAValue:
    """A constant as the (K, N) weight of a plain product; a vector stands as one column."""
    array = b.constant(name, node)
    if not flip and scale == 1 and array.ndim == 2:
        return b.value(name)
    matrix = array.reshape(array.shape[-2:] if array.ndim > 1 else (-1, 1))
    if flip and array.ndim > 1:
        matrix = matrix.T
    scaled = matrix if scale == 1 else matrix * matrix.dtype.type(scale)
    return b.weight(f"{name}.T" if flip and scale == 1 else f"{node.name}.weight", scaled)


def _bias(b: ModuleBuilder, node: Node, name: str, beta: float) -> SSAValue | None:
    """The addend of a Gemm as one value a column, if it is that."""
    if not name or beta == 0 or not b.is_constant(name):
        return None
    columns = b.info(node.outputs[0], node).shape[-1]
    array: Array = b.constant(name, node)
    if array.ndim > 1 and array.shape[0] != 1:
        return None
    if array.shape == (columns,) and beta == 1:
        return b.value(name)
    vector = np.broadcast_to(array.reshape(-1) * array.dtype.type(beta), (columns,))
    return b.weight(f"{node.name}.bias", vector)


def _scaled(b: ModuleBuilder, node: Node, x: SSAValue, factor: float, part: str) -> SSAValue:
    if factor == 1:
        return x
    constant = b.weight(f"{node.name}.{part}", np.array(factor, np.float32))
    return b.digital(node, "Mul", [x, constant], shape_of(x), part=part)
