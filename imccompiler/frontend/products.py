"""Import of products: Conv, Gemm and MatMul, with static weights or of two activations."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.errors import ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.digital import import_digital
from imccompiler.frontend.graph import Node
from imccompiler.frontend.window import window_attributes
from imccompiler.ir.decisions import Window
from imccompiler.ir.shapes import PLAIN
from imccompiler.ir.types import shape_of


def import_conv(b: ModuleBuilder, node: Node) -> None:
    """Conv with constant weights; with others it is a digital operator."""
    weight, bias = node.input(1), node.input(2)
    if not b.is_constant(weight) or (bias and not b.is_constant(bias)):
        import_digital(b, node)
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
    weight_value = b.value(weight)
    bias_value = b.value(bias) if bias else None
    b.define(node.outputs[0], b.matmul(node, x, weight_value, bias_value, window=window))


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
    result = b.info(node.outputs[0], node).shape
    if b.is_constant(right) and _is_matrix(b.info(right, node).shape):
        require_finite(b, node, right)
        y = b.matmul(node, b.value(left), _weight(b, node, right), window=PLAIN)
    elif b.is_constant(left) and _is_matrix(b.info(left, node).shape):
        require_finite(b, node, left)
        x = b.value(right)
        single = len(shape_of(x)) == 1
        weight = _weight(b, node, left, flip=True)
        y = b.matmul(node, x if single else b.transpose(node, x, "B"), weight, window=PLAIN)
        y = y if single else b.transpose(node, y, "Y")
    else:  # a batch of different constant matrices is also multiplied as if it were activations
        lhs, rhs = b.value(left), b.value(right)
        if len(shape_of(lhs)) == 1:
            lhs = b.reshape(node, lhs, (1, *shape_of(lhs)), "A")
        if len(shape_of(rhs)) == 1:
            rhs = b.reshape(node, rhs, (*shape_of(rhs), 1), "B")
        y = b.dynamic_matmul(node, lhs, rhs)
    b.define(node.outputs[0], b.reshape(node, y, result, "Y"))


def require_finite(b: ModuleBuilder, node: Node, *names: str) -> None:
    """Raise a ModelError if a constant has infinite values: no crossbar can hold them."""
    for name in filter(None, names):
        value = b.constant(name, node)
        if value.size and not (np.isfinite(value.min()) and np.isfinite(value.max())):
            raise ModelError(f"{name!r} is infinite in places", where=node.where)


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
