"""From an ONNX graph to a module of the `imc` dialect: which node is imported how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

from imccompiler.errors import IRError, ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.canonical import plain
from imccompiler.frontend.constants import Constants, element_type
from imccompiler.frontend.digital import import_digital
from imccompiler.frontend.domains import DEFAULT, RUNTIME
from imccompiler.frontend.einsum import import_einsum
from imccompiler.frontend.graph import Graph, Node, TensorInfo
from imccompiler.frontend.host import import_on_host
from imccompiler.frontend.products import import_conv, import_gemm, import_matmul
from imccompiler.frontend.quantised import DOMAIN as QUANTISED
from imccompiler.frontend.quantised import REQUANTIZE
from imccompiler.frontend.quantised_weights import import_requantize
from imccompiler.frontend.recurrent import import_recurrent
from imccompiler.frontend.soundness import check_known
from imccompiler.frontend.transposed import import_conv_transpose
from imccompiler.ir.store import WeightStore

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

PRODUCTS: Mapping[str, Callable[[ModuleBuilder, Node], None]] = {
    "Conv": import_conv,
    "ConvTranspose": import_conv_transpose,
    "Einsum": import_einsum,
    "GRU": import_recurrent,
    "Gemm": import_gemm,
    "LSTM": import_recurrent,
    "MatMul": import_matmul,
    "RNN": import_recurrent,
    REQUANTIZE: import_requantize,
}

# Where these follow from constants they are constants; other such operators are left to `fold`.
COMPUTED = frozenset({*PRODUCTS, "ConstantOfShape", "Range"})


def import_graph(graph: Graph) -> tuple[ModuleOp, WeightStore]:
    """The graph as a module at network level, and its weights.

    Raises:
        ModelError: A node cannot be expressed in the dialect.
    """
    builder = ModuleBuilder(graph)
    for node in graph.nodes:
        if node.op_type in COMPUTED and builder.is_constant(node.outputs[0]):
            continue
        try:
            _importer(node)(builder, node)
        except (IRError, VerifyException) as error:
            raise ModelError(f"cannot be imported: {error}", where=node.where) from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ModelError(
                f"cannot be imported: {type(error).__name__}: {error}",
                where=node.where,
                hint="its attributes or inputs are none that the operator can have; if they are, "
                "report it",
            ) from error
    return builder.finish(), builder.store


def _importer(node: Node) -> Callable[[ModuleBuilder, Node], None]:
    """What imports a node.

    Raises:
        ModelError: Nothing does: it is of a domain that no part of the machine knows.
    """
    if node.domain in RUNTIME:
        return import_on_host
    if node.domain in {"", QUANTISED}:
        return PRODUCTS.get(node.op_type, import_digital)
    raise ModelError(
        f"operators of the domain {node.domain!r} are not supported",
        where=node.where,
        hint="export the network with the operators of ONNX itself",
    )


def read_graph(
    model: ModelProto, inputs: tuple[str, ...], constants: Constants, opset: int
) -> Graph:
    """What the importer needs of a static model.

    Raises:
        ModelError: An operator is unknown, or an input is not a tensor.
    """
    graph = model.graph
    types: dict[str, TensorInfo] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if (info := _tensor_info(value)) is not None:
            types[value.name] = info
    for tensor in graph.initializer:
        types[tensor.name] = TensorInfo(
            tuple(tensor.dims), element_type(tensor.data_type, f"tensor {tensor.name!r}")
        )
    outputs = tuple(output.name for output in graph.output)
    return Graph(_nodes(graph.node, opset), inputs, outputs, types, constants, opset)


def _tensor_info(value: ValueInfoProto) -> TensorInfo | None:
    """Shape and type of a tensor where both are static."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not tensor.elem_type:
        return None
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in tensor.shape.dim):
        return None
    shape = tuple(dim.dim_value for dim in tensor.shape.dim)
    return TensorInfo(shape, element_type(tensor.elem_type, f"tensor {value.name!r}"))


def _nodes(protos: Sequence[NodeProto], opset: int) -> tuple[Node, ...]:
    names: set[str] = {proto.name for proto in protos}
    used: set[str] = set()
    nodes: list[Node] = []
    for index, proto in enumerate(protos):
        check_known(proto, opset)
        name, count = proto.name or f"{proto.op_type}_{index}", 1
        base = name
        while name in used or (name in names and name != proto.name):
            count += 1
            name = f"{base}.{count}"
        used.add(name)
        nodes.append(
            Node(
                name,
                proto.op_type,
                tuple(proto.input),
                tuple(proto.output),
                _attributes(proto),
                "" if proto.domain in DEFAULT else proto.domain,
            )
        )
    return tuple(nodes)


def _attributes(proto: NodeProto) -> dict[str, object]:
    from onnx import helper  # noqa: PLC0415

    return {a.name: plain(helper.get_attribute_value(a)) for a in proto.attribute}
