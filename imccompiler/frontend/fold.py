"""Folding: single nodes whose inputs are small constants are computed while the graph is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.domains import DEFAULT
from imccompiler.frontend.inference import IR_VERSION
from imccompiler.frontend.order import describe
from imccompiler.frontend.rules import is_static, shape_of_type

if TYPE_CHECKING:
    from onnx import NodeProto, TypeProto

SMALL_BYTES = 64 * 2**10
"""Shapes, indices and tables that shape computations read take less. What is larger is a weight:
it is computed when the importer asks for its values, within the limits of `evaluate.py`."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
QUANTISERS = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
"""They say which numbers are integers, which their results do not."""

DATA_DEPENDENT = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""How large their results are depends on data, but never larger than their inputs by rank."""


def is_small(kind: TypeProto) -> bool:
    """Whether a static type's values take little memory."""
    return math.prod(shape_of_type(kind)) * 8 <= SMALL_BYTES


def may_fold(node: NodeProto, results: Mapping[str, TypeProto]) -> bool:
    """Whether a node of constants may be computed: it is no marker, and its results are small."""
    if node.domain not in DEFAULT or node.op_type in RANDOM | QUANTISERS:
        return False
    kinds = [results.get(name) for name in node.output if name]
    if node.op_type in DATA_DEPENDENT:
        return all(kind is not None and _numeric(kind) for kind in kinds)
    return all(
        kind is not None and is_static(kind) and is_small(kind) and _numeric(kind) for kind in kinds
    )


class Folder:
    """Computes single nodes with ONNX Runtime; sessions are kept, since graphs repeat."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._sessions: dict[bytes, Any] = {}

    def compute(self, node: NodeProto, inputs: Mapping[str, Array]) -> list[Array] | None:
        """A node's results, those without a name left out; None if ONNX Runtime lacks it.

        Raises:
            ModelError: The values do not allow it.
        """
        _check_divisor(node, inputs)
        names = {name: f"x{i}" for i, name in enumerate(inputs)}
        try:
            session = self._session(node, names, inputs)
        except Exception:  # noqa: BLE001 (onnxruntime's errors have no common base but this)
            return None
        try:
            found = session.run(None, {names[name]: array for name, array in inputs.items()})
        except Exception as error:
            raise ModelError(
                f"cannot be computed: {error}",
                where=describe(node),
                hint="its inputs are constants: check them and its attributes",
            ) from error
        return [np.asarray(array) for array in found]

    def _session(
        self, node: NodeProto, names: Mapping[str, str], inputs: Mapping[str, Array]
    ) -> Any:
        import onnxruntime  # noqa: PLC0415
        from onnx import NodeProto, ValueInfoProto, helper  # noqa: PLC0415

        plain = NodeProto(op_type=node.op_type)
        plain.attribute.extend(node.attribute)
        plain.input.extend(names.get(name, "") for name in node.input)
        plain.output.extend(f"y{i}" if name else "" for i, name in enumerate(node.output))
        graph = helper.make_graph(
            [plain],
            "constants",
            [
                helper.make_tensor_value_info(
                    names[name], helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
                )
                for name, array in inputs.items()
            ],
            [ValueInfoProto(name=name) for name in plain.output if name],
        )
        opsets = [helper.make_opsetid("", self._opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        key = model.SerializeToString(deterministic=True)
        if key not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 4
            options.intra_op_num_threads = 1
            self._sessions[key] = onnxruntime.InferenceSession(
                key, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[key]


def _check_divisor(node: NodeProto, inputs: Mapping[str, Array]) -> None:
    """ONNX Runtime divides integers without a look at the divisor, and the processor traps."""
    if node.op_type not in {"Div", "Mod"}:
        return
    divisor = inputs[node.input[1]]
    if divisor.dtype.kind in "iu" and not divisor.all():
        message = f"divides integers by zero: {node.input[1]!r} is a constant that holds 0"
        raise ModelError(message, where=describe(node), hint="export the network again")
    dividend = inputs[node.input[0]]
    least = np.iinfo(dividend.dtype).min if dividend.dtype.kind == "i" else None
    if (divisor == -1).any() and (dividend == least).any():
        raise ModelError("overflows: the least integer by -1", where=describe(node))


def _numeric(kind: TypeProto) -> bool:
    """Whether numpy has the element type, so that ONNX Runtime takes and hands back arrays."""
    from onnx import TensorProto  # noqa: PLC0415

    return kind.tensor_type.elem_type in {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BOOL,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
    }
