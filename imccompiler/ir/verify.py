"""Rules of a whole module, and errors that name the op that breaks a rule."""

from __future__ import annotations

from collections import Counter

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.utils.exceptions import VerifyException

from imccompiler.errors import IRError
from imccompiler.ir.decisions import Source
from imccompiler.ir.dialect import IMC, InputOp, OutputOp

_OPERATIONS = tuple(IMC.operations)


def verify(module: ModuleOp, where: str | None = None) -> None:
    """Check every op, and that the module is flat, has outputs, and that names are unique.

    Args:
        module: At any level.
        where: What it was read from, for the error.

    Raises:
        IRError: A rule is broken; `where` names the op, by its source if it has one.
    """
    try:
        module.verify()
    except VerifyException as error:
        place = next((describe(op) for op in module.body.block.ops if not _is_valid(op)), None)
        raise _error(str(error).strip(), where, place) from error
    ops = list(module.body.block.ops)
    for op in ops:
        if not isinstance(op, _OPERATIONS):
            raise _error("a module holds imc ops only", where, describe(op))
    if not any(isinstance(op, OutputOp) for op in ops):
        raise _error("a module has at least one imc.output", where, None)
    for kind, names in {
        "input": [op.port.data for op in ops if isinstance(op, InputOp)],
        "output": [op.port.data for op in ops if isinstance(op, OutputOp)],
        "source": [s.node for op in ops if isinstance(s := op.properties.get("source"), Source)],
    }.items():
        for name, count in Counter(names).items():
            if count > 1:
                raise _error(f"the {kind} {name!r} stands on {count} ops", where, None)


def describe(op: Operation) -> str:
    """An op by what a user knows it by: its source, port or key, else its name."""
    source = op.properties.get("source")
    if isinstance(source, Source):
        return f"{op.name} of {source.node!r} ({source.op_type})"
    name = op.properties.get("port", op.properties.get("key"))
    return f"{op.name} {name.data!r}" if isinstance(name, StringAttr) else op.name


def _is_valid(op: Operation) -> bool:
    try:
        op.verify()
    except VerifyException:
        return False
    return True


def _error(message: str, where: str | None, place: str | None) -> IRError:
    return IRError(message, where=": ".join(filter(None, (where, place))) or None)
