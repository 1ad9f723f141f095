"""Types of a node's results from the types, and where it matters the values, of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.domains import DEFAULT, RUNTIME, same_type
from imccompiler.frontend.order import describe
from imccompiler.frontend.own_inference import explicit, own_types
from imccompiler.frontend.rules import contradiction, is_static

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, OperatorSetIdProto, TypeProto, ValueInfoProto

IR_VERSION = 10  # what is built here needs nothing newer


class Inference:
    """Infers types of single nodes, under a model's versions of operators."""

    def __init__(self, opset: int, imports: Sequence[OperatorSetIdProto]) -> None:
        from onnx import helper  # noqa: PLC0415

        others = [o for o in imports if o.domain not in DEFAULT]
        self._opset = opset
        self._imports = [helper.make_opsetid("", opset), *others]

    def outputs(
        self,
        node: NodeProto,
        types: Mapping[str, TypeProto],
        values: Mapping[str, Array],
    ) -> dict[str, TypeProto]:
        """Types of a node's results, as far as they are known.

        Raises:
            ModelError: The inputs do not fit each other or the attributes.
        """
        if same_type(node) and node.input[0] in types:
            return {name: types[node.input[0]] for name in node.output if name}
        if any(name and name not in types for name in node.input):
            return {}
        if node.domain in RUNTIME:
            return self._by_runtime(node, types, values)
        if (own := own_types(node, types, values)) is not None:
            return own
        found = self._by_schema(explicit(node), types, values)
        if (message := contradiction(node, types, found)) is not None:
            raise _misfit(node, message)
        if all(is_static(found.get(name)) for name in node.output if name):
            return found
        whole = self._by_model(node, types, values)
        return {**found, **{name: kind for name, kind in whole.items() if is_static(kind)}}

    def _by_schema(
        self, node: NodeProto, types: Mapping[str, TypeProto], values: Mapping[str, Array]
    ) -> dict[str, TypeProto]:
        from onnx import defs, numpy_helper, shape_inference  # noqa: PLC0415

        data = {name: numpy_helper.from_array(array, name) for name, array in values.items()}
        try:
            return shape_inference.infer_node_outputs(
                defs.get_schema(node.op_type, self._opset, ""),
                node,
                {name: types[name] for name in node.input if name},
                data,
                opset_imports=self._imports,
            )
        except Exception as error:  # onnx raises of several kinds, some without a common base
            raise _misfit(node, error) from error

    def _by_model(
        self, node: NodeProto, types: Mapping[str, TypeProto], values: Mapping[str, Array]
    ) -> dict[str, TypeProto]:
        """For operators that ONNX defines by a function only: it has to be expanded."""
        from onnx import shape_inference  # noqa: PLC0415

        try:
            model = shape_inference.infer_shapes(
                self._model(node, types, values), strict_mode=True, data_prop=True
            )
        except Exception as error:
            raise _misfit(node, error) from error
        return {output.name: output.type for output in model.graph.output}

    def _by_runtime(
        self, node: NodeProto, types: Mapping[str, TypeProto], values: Mapping[str, Array]
    ) -> dict[str, TypeProto]:
        """For ONNX Runtime's own operators, which only it knows."""
        import onnxruntime  # noqa: PLC0415
        from onnx import TypeProto  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        model = self._model(node, types, values)
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise _misfit(node, error) from error
        found: dict[str, TypeProto] = {}
        for output in session.get_outputs():
            kind = _ELEMENTS.get(output.type)
            if kind is not None:
                proto = TypeProto()
                proto.tensor_type.elem_type = kind
                for size in output.shape:
                    dim = proto.tensor_type.shape.dim.add()
                    if isinstance(size, int):
                        dim.dim_value = size
                found[output.name] = proto
        return found

    def _model(
        self, node: NodeProto, types: Mapping[str, TypeProto], values: Mapping[str, Array]
    ) -> ModelProto:
        from onnx import ValueInfoProto, helper, numpy_helper  # noqa: PLC0415

        def value(name: str) -> ValueInfoProto:
            return ValueInfoProto(name=name, type=types.get(name))

        names = dict.fromkeys(filter(None, node.input))
        graph = helper.make_graph(
            [node],
            "node",
            [value(name) for name in names if name not in values],
            [ValueInfoProto(name=name) for name in node.output if name],
            [numpy_helper.from_array(array, name) for name, array in values.items()],
        )
        return helper.make_model(graph, opset_imports=self._imports, ir_version=IR_VERSION)


# ONNX Runtime's names of the element types that the dialect has.
_ELEMENTS: Mapping[str, int] = {
    "tensor(float)": 1,
    "tensor(uint8)": 2,
    "tensor(int8)": 3,
    "tensor(uint16)": 4,
    "tensor(int16)": 5,
    "tensor(int32)": 6,
    "tensor(int64)": 7,
    "tensor(bool)": 9,
    "tensor(float16)": 10,
    "tensor(double)": 11,
    "tensor(uint32)": 12,
    "tensor(uint64)": 13,
}


def _misfit(node: NodeProto, error: Exception | str) -> ModelError:
    return ModelError(
        f"the shapes do not fit each other: {error}",
        where=describe(node),
        hint="check the model with onnx.checker, and bound dimensions against what it expects",
    )
