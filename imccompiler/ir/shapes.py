"""Shape arithmetic of the dialect."""

from __future__ import annotations

from xdsl.utils.exceptions import VerifyException

from imccompiler.ir.decisions import Window

PLAIN = Window(kernel=(), strides=(), pads=(), dilations=())


def window_output_size(size: int, axis: int, window: Window) -> int:
    """Output size of one spatial axis (ONNX Conv, floor mode)."""
    n = len(window.kernel)
    span = window.dilations[axis] * (window.kernel[axis] - 1) + 1
    padded = size + window.pads[axis] + window.pads[axis + n]
    return (padded - span) // window.strides[axis] + 1


def matmul_output_shape(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], window: Window
) -> tuple[int, ...]:
    """Result shape of `imc.matmul`.

    Raises:
        VerifyException: The shapes do not fit each other.
    """
    n = len(window.kernel)
    if n == 0:
        if len(weight_shape) != 2 or not input_shape or input_shape[-1] != weight_shape[0]:
            raise VerifyException(f"cannot multiply {input_shape} and {weight_shape}")
        return (*input_shape[:-1], weight_shape[1])
    if (len(window.strides), len(window.pads), len(window.dilations)) != (n, 2 * n, n):
        raise VerifyException("strides, pads and dilations must match the kernel's axes")
    if len(input_shape) != n + 2 or len(weight_shape) != n + 2:
        raise VerifyException(f"a {n}-D window needs operands of rank {n + 2}")
    if input_shape[1] != weight_shape[1] * window.groups or weight_shape[0] % window.groups:
        raise VerifyException(
            f"{input_shape[1]} input channels do not fit weight {weight_shape} "
            f"in {window.groups} groups"
        )
    if tuple(weight_shape[2:]) != window.kernel:
        raise VerifyException(f"weight {weight_shape} does not have kernel {window.kernel}")
    spatial = tuple(window_output_size(input_shape[2 + i], i, window) for i in range(n))
    if min(spatial) < 1:
        raise VerifyException(f"the window does not fit an input of shape {input_shape}")
    return (input_shape[0], weight_shape[0], *spatial)
