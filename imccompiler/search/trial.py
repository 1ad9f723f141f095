"""What an evaluation found, and the trial that it belongs to; both go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from imccompiler.errors import DoesNotFitError, UserInputError
from imccompiler.search.genes import Candidate

State = Literal["complete", "stopped", "infeasible", "invalid", "failed"]
"""`complete`: all was measured; `stopped`: a constraint was broken on a lower rung; `infeasible`:
does not fit; `invalid`: no machine or mapping; `failed`: a defect, a time limit, a lost worker."""

Rung = Literal["machine", "plan", "simulate", "execute"]
"""How a value was found: from the machine's description; from the plan of a program compiled at
effort 0, or by simulating that program in time; by executing a program with the machine's ADC."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and the rung of the cascade that it is from."""

    value: float
    rung: Rung


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a design that does not fit would need."""

    demand: float
    capacity: float
    unit: str
    levers: tuple[str, ...]

    @staticmethod
    def of(error: DoesNotFitError) -> Shortage:
        """From the compiler's error."""
        return Shortage(error.demand, error.capacity, error.unit, error.levers)

    @property
    def excess(self) -> float:
        """Demand beyond the capacity, as a share of the capacity."""
        return max(self.demand / max(self.capacity, 1.0) - 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation found.

    Attributes:
        state: How it ended.
        metrics: What was measured, by metric.
        reason: Why it is not complete.
        shortage: Of an infeasible design.
        seconds: Time it took; all else depends on the candidate alone.
    """

    state: State
    metrics: Mapping[str, Measured] = field(default_factory=dict[str, Measured])
    reason: str | None = None
    shortage: Shortage | None = None
    seconds: float = 0.0

    def value(self, metric: str) -> float | None:
        """A metric's value, if it was measured."""
        measured = self.metrics.get(metric)
        return None if measured is None else measured.value


@dataclass(frozen=True, slots=True)
class Trial:
    """One line of the ledger."""

    number: int
    candidate: Candidate
    outcome: Outcome


def to_json(trial: Trial) -> dict[str, Any]:
    """The trial as plain data."""
    outcome, shortage = trial.outcome, trial.outcome.shortage
    data: dict[str, Any] = {
        "trial": trial.number,
        "candidate": list(trial.candidate),
        "state": outcome.state,
        "metrics": {name: [m.value, m.rung] for name, m in outcome.metrics.items()},
        "seconds": round(outcome.seconds, 4),
    }
    if outcome.reason is not None:
        data["reason"] = outcome.reason
    if shortage is not None:
        data["shortage"] = asdict(shortage)
    return data


def from_json(data: Mapping[str, Any]) -> Trial:
    """The trial of `to_json`; keys that it does not know are ignored.

    Raises:
        UserInputError: It is not the data of a trial.
    """
    try:
        short = cast("dict[str, Any] | None", data.get("shortage"))
        outcome = Outcome(
            state=data["state"],
            metrics={n: Measured(value, rung) for n, (value, rung) in data["metrics"].items()},
            reason=data.get("reason"),
            shortage=None if short is None else _shortage(short),
            seconds=data["seconds"],
        )
        return Trial(data["trial"], tuple(data["candidate"]), outcome)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserInputError(f"is not a trial: {error!r}") from error


def _shortage(data: Mapping[str, Any]) -> Shortage:
    return Shortage(data["demand"], data["capacity"], data["unit"], tuple(data["levers"]))
