"""Errors that users see: what is wrong, where, and what to do about it."""

from __future__ import annotations

import re

# A name of thousands of characters hides the message around it.
_LONG_WORD = re.compile(r"(\S{100})\S{100,}(\S{20})")


class ImcError(Exception):
    """Root of every error that imccompiler raises on purpose.

    Args:
        message: What is wrong, in one sentence.
        where: The file, line, node or key that it concerns.
        hint: What the user can do.
    """

    exit_code = 2

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        text = f"{text}\n  hint: {self.hint}" if self.hint else text
        return _LONG_WORD.sub(r"\1...\2", text)


class ModelError(ImcError):
    """The network cannot be read or is not what it says it is."""


class HardwareError(ImcError):
    """The hardware description is not valid."""


class IRError(ImcError):
    """A module of the `imc` dialect cannot be read, or breaks a rule of the dialect."""


class PassError(ImcError):
    """A pass pipeline or a decision given to it is not valid."""


class ProgramError(ImcError):
    """A program artefact is missing, damaged or breaks a rule of the instruction set."""


class UserInputError(ImcError):
    """Any other input (arrays, search spaces, folders) that cannot be used."""


class DoesNotFitError(ImcError):
    """The network does not fit the machine.

    Args:
        message: What does not fit.
        demand: How much is needed.
        capacity: How much there is.
        unit: Of what.
        levers: Changes that would make it fit, most useful first.
        where: The layer or core concerned.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        demand: float,
        capacity: float,
        unit: str,
        levers: tuple[str, ...] = (),
        where: str | None = None,
    ) -> None:
        super().__init__(
            f"{message}: {demand:,.0f} {unit} needed, {capacity:,.0f} available",
            where=where,
            hint="; or ".join(levers) or None,
        )
        self.demand = demand
        self.capacity = capacity
        self.unit = unit
        self.levers = levers


class InternalError(ImcError):
    """A rule of our own was broken: a defect of imccompiler, not of the input."""

    exit_code = 1
