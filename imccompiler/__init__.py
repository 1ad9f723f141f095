"""A compiler and a co-search tool for in-memory-computing accelerators.

    import imccompiler

    compilation = imccompiler.compile("digits-cnn", "isaac")
    print(compilation.report.latency_ns)

The verbs of the command line as functions; each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imccompiler import search
    from imccompiler.compiler import (
        Compilation,
        Evaluation,
        compile,  # noqa: A004
        evaluate,
        execute,
        simulate,
    )

_HOMES = {
    "Compilation": ("imccompiler.compiler", "Compilation"),
    "Evaluation": ("imccompiler.compiler", "Evaluation"),
    "compile": ("imccompiler.compiler", "compile"),
    "evaluate": ("imccompiler.compiler", "evaluate"),
    "execute": ("imccompiler.compiler", "execute"),
    "simulate": ("imccompiler.compiler", "simulate"),
}

__all__ = ["Compilation", "Evaluation", "compile", "evaluate", "execute", "search", "simulate"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "search":  # the room itself: `imccompiler.search.run`
        return import_module("imccompiler.search")
    if name not in _HOMES:
        raise AttributeError(f"module 'imccompiler' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
