"""Writes ONNX graphs node by node: the one helper that every network here is built with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imccompiler.models.parameters import RELU_GAIN, Weights, draw, pick

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 17
IR_VERSION = 8  # the oldest that knows opset 17, so that old runtimes read our files


class GraphBuilder:
    """An ONNX graph under construction.

    Tensors go by name, and a node's output bears the node's name, so a layer reads the same in
    the file, in the IR and in a report. Parameters carry PyTorch's names and layouts.

    Args:
        name: The name of the graph.
        seed: Key of the Philox generator that draws the parameters, in the order of the calls.
        weights: Parameters by name to use in place of drawn ones, such as a PyTorch state dict
            turned to numpy; what the network does not ask for is ignored.

    Raises:
        ModelError: From any method that asks for a parameter, if `weights` is given and lacks it
            or holds it in another shape.
    """

    def __init__(self, name: str, *, seed: int = 0, weights: Weights | None = None) -> None:
        import onnx  # noqa: PLC0415

        self._onnx = onnx
        self._graph: GraphProto = onnx.GraphProto(name=name)
        self._rng = np.random.Generator(np.random.Philox(seed))
        self._weights = weights

    def input(self, name: str, shape: Sequence[int | str], dtype: str = "float32") -> str:
        """Add a graph input; a dimension given as a string is dynamic and has that name."""
        self._graph.input.append(self._value_info(name, shape, dtype))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of the ONNX operator `op` and return its only output."""
        node = self._onnx.helper.make_node(op, inputs, [name], name, **attributes)
        self._graph.node.append(node)
        return name

    def constant(self, name: str, value: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a `Constant` node, as exporters do for shapes and scalars."""
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype))
        return self.node("Constant", name, value=tensor)

    def parameter(
        self, name: str, *shape: int, std: float, mean: float = 0.0, centred: bool = False
    ) -> str:
        """Add a float32 initializer: the one given for `name`, else normal(mean, std) values.

        With `centred`, drawn values have zero mean over all axes but the first.
        """
        if self._weights is None:
            value = draw(self._rng, shape, std=std, mean=mean, centred=centred)
        else:
            value = pick(self._weights, name, shape)
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def conv(
        self,
        name: str,
        x: str,
        channels: tuple[int, int],
        kernel: int,
        *,
        stride: int = 1,
        pad: int = 0,
        bias: bool = True,
    ) -> str:
        """Add a square 2-D convolution from `channels[0]` to `channels[1]` channels."""
        inner, outer = channels
        std = math.sqrt(RELU_GAIN / (inner * kernel**2))
        shape = (outer, inner, kernel, kernel)
        inputs = [x, self.parameter(f"{name}.weight", *shape, std=std, centred=True)]
        if bias:
            inputs.append(self.parameter(f"{name}.bias", outer, std=0.1))
        return self.node("Conv", name, *inputs, **_window(kernel, stride, pad))

    def batch_norm(self, name: str, x: str, channels: int, *, scale: float = 1.0) -> str:
        """Add an inference BatchNormalization whose gain is about `scale`."""
        statistics = (
            self.parameter(f"{name}.weight", channels, mean=scale, std=0.1 * scale),
            self.parameter(f"{name}.bias", channels, std=0.1),
            self.parameter(f"{name}.running_mean", channels, std=0.1),
            self.parameter(f"{name}.running_var", channels, mean=1.0, std=0.1),
        )
        return self.node("BatchNormalization", name, x, *statistics, epsilon=1e-5)

    def relu(self, name: str, x: str) -> str:
        """Add a Relu."""
        return self.node("Relu", name, x)

    def max_pool(
        self, name: str, x: str, kernel: int, *, stride: int, pad: int = 0, ceil: bool = False
    ) -> str:
        """Add a square 2-D MaxPool; with `ceil` the last window may hang over the edge."""
        return self.node("MaxPool", name, x, **_window(kernel, stride, pad), ceil_mode=int(ceil))

    def gemm(self, name: str, x: str, channels: tuple[int, int], *, gain: float = RELU_GAIN) -> str:
        """Add a fully connected layer from `channels[0]` to `channels[1]` features.

        `gain` is the variance of a drawn layer's outputs over that of its inputs.
        """
        inner, outer = channels
        std = math.sqrt(gain / inner)
        weight = self.parameter(f"{name}.weight", outer, inner, std=std, centred=True)
        bias = self.parameter(f"{name}.bias", outer, std=0.1)
        return self.node("Gemm", name, x, weight, bias, transB=1)

    def finish(self, x: str, shape: Sequence[int | str], *, name: str = "logits") -> ModelProto:
        """Make float32 tensor `x` of that shape the output, called `name`; return the model."""
        producer = next(node for node in self._graph.node if x in node.output)
        producer.output[0] = name
        self._graph.output.append(self._value_info(name, shape, "float32"))
        opset = self._onnx.helper.make_opsetid("", OPSET)
        return self._onnx.helper.make_model(
            self._graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="imccompiler"
        )

    def _value_info(self, name: str, shape: Sequence[int | str], dtype: str) -> Any:
        helper = self._onnx.helper
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
        )


def _window(kernel: int, stride: int, pad: int) -> dict[str, list[int]]:
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
