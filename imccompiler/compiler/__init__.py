"""The driver: compile a network for a machine, then simulate, execute and judge the program."""

from imccompiler.compiler.driver import Compilation, compile  # noqa: A004
from imccompiler.compiler.sources import machine_of, network_of, parse_bindings
from imccompiler.compiler.verbs import Evaluation, evaluate, execute, simulate

__all__ = [
    "Compilation",
    "Evaluation",
    "compile",
    "evaluate",
    "execute",
    "machine_of",
    "network_of",
    "parse_bindings",
    "simulate",
]
