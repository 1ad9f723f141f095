"""Writes ONNX graphs node by node: the one helper that every network here is built with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imccompiler.models.parameters import HE_GAIN, RELU_GAIN, Seed, Weights, draw, pick

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 17
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9}  # the oldest that know an opset, for old runtimes

Window = int | tuple[int, ...]  # a size along both axes of an image, or one for each axis


class GraphBuilder:
    """An ONNX graph under construction.

    Tensors go by name, and a node's output bears the node's name, so a layer reads the same in
    the file, in the IR and in a report. Parameters carry PyTorch's names and layouts.

    Args:
        name: The name of the graph.
        seed: Key of the Philox generator that draws the parameters, in the order of the calls.
            None leaves them out: their tensors have shapes and no values.
        weights: Parameters by name to use in place of drawn ones, such as a PyTorch state dict
            turned to numpy; what the network does not ask for is ignored.
        opset: Version of ONNX's operators that the network uses, 17 to 20.

    Raises:
        ModelError: From any method that asks for a parameter, if `weights` is given and lacks it
            or holds it in another shape.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: Seed = 0,
        weights: Weights | None = None,
        opset: int = OPSET,
    ) -> None:
        import onnx  # noqa: PLC0415

        self._onnx = onnx
        self._model: ModelProto = onnx.ModelProto(
            ir_version=IR_VERSIONS[opset],
            producer_name="imccompiler",
            opset_import=[onnx.helper.make_opsetid("", opset)],
        )
        self._graph: GraphProto = self._model.graph
        self._graph.name = name
        self._rng = None if seed is None else np.random.Generator(np.random.Philox(seed))
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

    def nodes(
        self, op: str, name: str, *inputs: str, parts: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return them, each called `name.part`."""
        outputs = [f"{name}.{part}" for part in parts]
        node = self._onnx.helper.make_node(op, inputs, outputs, name, **attributes)
        self._graph.node.append(node)
        return outputs

    def constant(self, name: str, value: npt.ArrayLike, dtype: str = "float32") -> str:
        """Add a `Constant` node, as exporters do for shapes and scalars."""
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype))
        return self.node("Constant", name, value=tensor)

    def parameter(
        self,
        name: str,
        *shape: int,
        std: float,
        mean: float = 0.0,
        centred: int | None = None,
        transposed: bool = False,
    ) -> str:
        """Add a float32 initializer: the one given for `name`, else normal(mean, std) values.

        Args:
            name: Of the parameter.
            shape: As it stands in the graph.
            std: Standard deviation of drawn values.
            mean: Mean of drawn values.
            centred: The axis of the outputs, over all others of which drawn values have zero mean.
            transposed: A given one is the transpose of what stands in the graph.
        """
        tensor = self._graph.initializer.add()  # in place: some are of hundreds of megabytes
        tensor.name, tensor.data_type = name, self._onnx.TensorProto.FLOAT
        tensor.dims.extend(shape)
        if self._weights is not None:
            value = pick(self._weights, name, shape[::-1] if transposed else shape)
            value = value.T if transposed else value
        elif self._rng is not None:
            value = draw(self._rng, shape, std=std, mean=mean, centred=centred)
        else:
            return name
        tensor.raw_data = value.astype("<f4", copy=False).tobytes()
        return name

    def conv(
        self,
        name: str,
        x: str,
        channels: tuple[int, int],
        kernel: Window,
        *,
        stride: int = 1,
        pad: Window = 0,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = True,
        gain: float | None = None,
    ) -> str:
        """Add a convolution from `channels[0]` to `channels[1]` channels.

        A kernel given as a number is a square, as a tuple it has a size for each axis. `gain` is
        the variance of a drawn layer's outputs over that of its inputs, or over their mean square
        if the layer is depthwise; it makes up for a ReLU before unless it is given.
        """
        inner, outer = channels
        sizes = _window(kernel, 1, 0)["kernel_shape"]
        # A depthwise kernel without a mean would be a high pass, and lose what varies slowly.
        depthwise = groups > 1 and groups == inner
        if gain is None:
            gain = HE_GAIN if depthwise else RELU_GAIN
        std = math.sqrt(gain / (inner // groups * math.prod(sizes)))
        centred = None if depthwise else 0
        shape = (outer, inner // groups, *sizes)
        inputs = [x, self.parameter(f"{name}.weight", *shape, std=std, centred=centred)]
        if bias:
            inputs.append(self.parameter(f"{name}.bias", outer, std=0.1))
        attributes: dict[str, Any] = _window(kernel, stride, pad)
        if groups > 1:
            attributes["group"] = groups
        if dilation > 1:
            attributes["dilations"] = [dilation] * len(sizes)
        return self.node("Conv", name, *inputs, **attributes)

    def conv_transpose(
        self, name: str, x: str, channels: tuple[int, int], kernel: int, *, stride: int
    ) -> str:
        """Add a square 2-D transposed convolution from `channels[0]` to `channels[1]` channels.

        Drawn, it leaves the variance as it is.
        """
        inner, outer = channels
        std = math.sqrt(stride**2 / (inner * kernel**2))  # over the inputs to one output
        shape = (inner, outer, kernel, kernel)
        weight = self.parameter(f"{name}.weight", *shape, std=std, centred=1)
        bias = self.parameter(f"{name}.bias", outer, std=0.1)
        return self.node("ConvTranspose", name, x, weight, bias, **_window(kernel, stride, 0))

    def batch_norm(
        self, name: str, x: str, channels: int, *, scale: float = 1.0, epsilon: float = 1e-5
    ) -> str:
        """Add an inference BatchNormalization whose gain is about `scale`."""
        statistics = (
            self.parameter(f"{name}.weight", channels, mean=scale, std=0.1 * scale),
            self.parameter(f"{name}.bias", channels, std=0.1),
            self.parameter(f"{name}.running_mean", channels, std=0.1),
            self.parameter(f"{name}.running_var", channels, mean=1.0, std=0.1),
        )
        return self.node("BatchNormalization", name, x, *statistics, epsilon=epsilon)

    def relu(self, name: str, x: str) -> str:
        """Add a Relu."""
        return self.node("Relu", name, x)

    def max_pool(
        self, name: str, x: str, kernel: int, *, stride: int, pad: int = 0, ceil: bool = False
    ) -> str:
        """Add a square 2-D MaxPool; with `ceil` the last window may hang over the edge."""
        return self.node("MaxPool", name, x, **_window(kernel, stride, pad), ceil_mode=int(ceil))

    def average_pool(self, name: str, x: str, kernel: int, *, stride: int, pad: int = 0) -> str:
        """Add a square 2-D AveragePool, which counts its padding as PyTorch does."""
        return self.node(
            "AveragePool", name, x, **_window(kernel, stride, pad), count_include_pad=1
        )

    def gemm(self, name: str, x: str, channels: tuple[int, int], *, gain: float = RELU_GAIN) -> str:
        """Add a fully connected layer from `channels[0]` to `channels[1]` features.

        `gain` is the variance of a drawn layer's outputs over that of its inputs.
        """
        inner, outer = channels
        std = math.sqrt(gain / inner)
        weight = self.parameter(f"{name}.weight", outer, inner, std=std, centred=0)
        bias = self.parameter(f"{name}.bias", outer, std=0.1)
        return self.node("Gemm", name, x, weight, bias, transB=1)

    def output(
        self, x: str, shape: Sequence[int | str], *, name: str, dtype: str = "float32"
    ) -> None:
        """Make tensor `x` of that shape an output, called `name`."""
        for node in self._graph.node:
            for names in (node.input, node.output):
                for index in (i for i, each in enumerate(names) if each == x):
                    names[index] = name
        self._graph.output.append(self._value_info(name, shape, dtype))

    def finish(self, x: str, shape: Sequence[int | str], *, name: str = "logits") -> ModelProto:
        """Make float32 tensor `x` of that shape the last output, `name`; return the model."""
        self.output(x, shape, name=name)
        return self.model()

    def model(self) -> ModelProto:
        """Return the graph as a model, once it has its outputs."""
        return self._model

    def _value_info(self, name: str, shape: Sequence[int | str], dtype: str) -> Any:
        helper = self._onnx.helper
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
        )


def _window(kernel: Window, stride: int, pad: Window) -> dict[str, list[int]]:
    sizes = [kernel] * 2 if isinstance(kernel, int) else list(kernel)
    pads = [pad] * len(sizes) if isinstance(pad, int) else list(pad)
    return {"kernel_shape": sizes, "strides": [stride] * len(sizes), "pads": pads * 2}
