"""The pass `canonicalize`: one form for each thing, so that later passes meet few of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects.builtin import ModuleOp

from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.canonicalize_codes import adopt_codes
from imccompiler.passes.canonicalize_flatten import flatten_into_window
from imccompiler.passes.canonicalize_gelu import recognise_gelu
from imccompiler.passes.canonicalize_layer_norm import layer_norm_affine, recognise_layer_norm
from imccompiler.passes.canonicalize_products import fuse_relu, scalar_into_weights
from imccompiler.passes.canonicalize_shapes import (
    drop_identity,
    global_average,
    in_onnx_order,
    merge_reshapes,
    merge_transposes,
    reshape_form,
)
from imccompiler.passes.fold_products import (
    fold_scale_before,
    fold_shift_after,
    fold_shift_before,
)
from imccompiler.passes.rewriting import Rule, apply_rules

PATTERNS: tuple[Rule, ...] = (recognise_gelu, recognise_layer_norm, layer_norm_affine)

SHAPES: tuple[Rule, ...] = (
    drop_identity,
    reshape_form,
    merge_reshapes,
    merge_transposes,
)

POOLS: tuple[Rule, ...] = (global_average,)

PRODUCTS: tuple[Rule, ...] = (
    fold_shift_after,
    fuse_relu,
    scalar_into_weights,
    fold_scale_before,
    fold_shift_before,
)


@dataclass(frozen=True)
class CanonicalizePass(ImcPass):
    """Bring a network at network level to its canonical form (`docs/ir.md`).

    Patterns are recognised before scalars go into weights and means become pools, since those
    would take parts of a pattern away. Then codes that the network brings go to the ops that make
    the quantised values. Flattened images become windows last, when all that can be
    is in the product. Ops about which something is decided stay as they are.
    """

    name: ClassVar[str] = "canonicalize"

    def depends_on(self, context: CompileContext) -> tuple[object, ...]:  # noqa: ARG002
        """Nothing."""
        return ()

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Apply the rules until none applies."""
        apply_rules(module, context.store, (*SHAPES, *PATTERNS))
        apply_rules(module, context.store, (*POOLS, *PRODUCTS, *SHAPES))
        apply_rules(module, context.store, (adopt_codes,))
        apply_rules(module, context.store, (*SHAPES, flatten_into_window))
        in_onnx_order(module)
