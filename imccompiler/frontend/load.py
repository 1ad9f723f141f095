"""ONNX in, a module of the `imc` dialect out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import IRError, ModelError
from imccompiler.frontend.absent import absent_weights
from imccompiler.frontend.bind import bind
from imccompiler.frontend.constants import Constants
from imccompiler.frontend.coverage import Coverage, coverage_of
from imccompiler.frontend.importer import import_graph, read_graph
from imccompiler.frontend.normalise import normalise
from imccompiler.frontend.order import ordered
from imccompiler.frontend.quantised_weights import decide_codes, lower_quantised
from imccompiler.frontend.read import read_model
from imccompiler.frontend.skeleton import split
from imccompiler.ir.recent import Recent
from imccompiler.ir.store import WeightStore
from imccompiler.ir.verify import verify

if TYPE_CHECKING:
    from onnx import ModelProto

STAGES = 8  # that are kept with a network: quantised weights take memory


@dataclass(frozen=True, slots=True)
class Network:
    """A network as the compiler takes it.

    Attributes:
        module: At network level.
        store: Its weights.
        coverage: What runs on crossbars, and why the rest does not.
        opset: Version of ONNX's default operator domain that the model used.
        name: Of the model's file, else of its graph.
        bindings: Every dimension and scalar that was bound, those by default included.
        notes: Things the user should know.
        external: Whether weights lie in other files than the model's own.
        stages: What first passes made of it: see `compiler.prefix`.
    """

    module: ModuleOp
    store: WeightStore
    coverage: Coverage
    opset: int
    name: str
    bindings: Mapping[str, int | float]
    notes: tuple[str, ...] = ()
    external: bool = False
    stages: Recent[Any] = field(default_factory=lambda: Recent(STAGES), repr=False, compare=False)


def load_onnx(
    source: Path | str | bytes | ModelProto,
    bindings: Mapping[str, int | float | bool] | None = None,
    *,
    shapes_only: bool = False,
) -> Network:
    """Read an ONNX model and import it.

    Args:
        source: A file, the bytes of one, or a model in memory; it is not changed.
        bindings: Sizes of dynamic dimensions (by name, or `input.axis`) and values of scalar
            inputs. The leading dimension of an image input is 1 unless bound.
        shapes_only: Put seeded values where weights are absent or large: for time, energy and
            area, not for accuracy.

    Raises:
        ModelError: The model is damaged, not static, or not expressible in the dialect.
    """
    model = read_model(source)
    nodes, tensors = split(model.proto.graph)
    constants = Constants(tensors, model.folder, shapes_only=shapes_only)
    constants.check_external()
    declared = [i for i in model.proto.graph.input if i.name not in constants]
    if shapes_only:
        absent = absent_weights(declared, nodes)
        declared = [i for i in declared if i.name not in absent]
        for name, tensor in absent.items():
            constants.declare(name, tensor)
    known = {i.name for i in declared} | set(constants.names())
    nodes = ordered(nodes, known, model.proto.graph.output)
    bound = bind(declared, bindings or {})
    for name, array in bound.values.items():
        constants.add(name, array)
    static = normalise(
        model.proto, nodes, bound.inputs, constants, model.opset, bound=bool(bound.bindings)
    )
    free = tuple(value.name for value in bound.inputs)
    graph = lower_quantised(read_graph(static, free, constants, model.opset))
    module, store = import_graph(graph)
    notes = (*graph.notes, *decide_codes(module, store, graph))
    try:
        verify(module, model.name)
    except IRError as error:
        raise ModelError(error.message, where=error.where) from error
    return Network(
        module,
        store,
        coverage_of(module),
        model.opset,
        model.name,
        MappingProxyType(bound.bindings),
        (*_notes(bound.bindings, bindings or {}, shapes_only=shapes_only), *notes),
        external=constants.external,
    )


def _notes(
    bound: Mapping[str, int | float], bindings: Mapping[str, object], *, shapes_only: bool
) -> tuple[str, ...]:
    notes = [f"dimension {name} was bound to 1" for name in bound if name not in bindings]
    if shapes_only:
        notes.append("weights that are absent or large were replaced by seeded ones")
    return tuple(notes)
