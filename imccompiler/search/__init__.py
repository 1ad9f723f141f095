"""Search over networks, machines and mappings at once: `imccompiler.search.run("space.yaml", ...)`.

`docs/search.md` says what a space is, how a candidate is judged, and what a study leaves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imccompiler.search.pareto import front_of
    from imccompiler.search.reading import read_space
    from imccompiler.search.study import Comparison, Study, compare, run

_HOMES = {
    "Comparison": "study",
    "Study": "study",
    "compare": "study",
    "front_of": "pareto",
    "read_space": "reading",
    "run": "study",
}

__all__ = ["Comparison", "Study", "compare", "front_of", "read_space", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'imccompiler.search' has no attribute {name!r}")
    value = getattr(import_module(f"imccompiler.search.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
