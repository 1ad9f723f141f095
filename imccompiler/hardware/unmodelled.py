"""What a machine description says and nothing acts on yet: users are told so."""

from __future__ import annotations

from imccompiler.hardware.schema import Machine


def unmodelled(machine: Machine) -> tuple[str, ...]:
    """One sentence for every field that is set and has no effect."""
    told: list[str] = []
    for name, kind in machine.core_kinds.items():
        cell = kind.cell
        if cell.drift_exponent:
            told.append(f"core_kinds.{name}.cell.drift_exponent has no effect yet")
        if cell.stuck_at_min or cell.stuck_at_max:
            told.append(f"core_kinds.{name}.cell.stuck_at_min and stuck_at_max have no effect yet")
    return tuple(told)
