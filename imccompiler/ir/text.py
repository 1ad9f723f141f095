"""Text form: a module to text and back, with errors that say where."""

from __future__ import annotations

import io
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError

from imccompiler.errors import IRError
from imccompiler.ir.dialect import IMC
from imccompiler.ir.verify import verify

HINT = "see docs/ir.md for the dialect"


class _Printer(Printer):
    """Prints letters beyond ASCII as they are: xDSL reads them back, but not their escapes."""

    def print_string_literal(self, string: str) -> None:
        if string.isprintable() and not {'"', "\\"} & set(string):
            self.print_string(f'"{string}"')
        else:
            super().print_string_literal(string)


def new_context() -> Context:
    """A context that knows the `imc` and builtin dialects."""
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(IMC)
    return context


def print_module(module: ModuleOp, *, generic: bool = False) -> str:
    """The module as text, in the pretty form or in MLIR's generic form."""
    stream = io.StringIO()
    _Printer(stream=stream, print_generic_format=generic).print_op(module)
    return stream.getvalue() + "\n"


def parse_module(text: str, name: str = "<text>") -> ModuleOp:
    """Read a module and verify it.

    Raises:
        IRError: The text is not a valid module.
    """
    try:
        module = Parser(new_context(), text, name).parse_module()
    except ParseError as error:  # its text begins with the place
        raise IRError(str(error).strip(), hint=HINT) from error
    verify(module, name)
    return module


def read_module(path: Path) -> ModuleOp:
    """Read a module from a file.

    Raises:
        IRError: The file cannot be read or is not a valid module.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IRError(f"cannot be read: {error}", where=str(path)) from error
    return parse_module(text, str(path))
