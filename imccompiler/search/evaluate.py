"""The cascade: a candidate goes from rung to rung, cheapest first, until it is known.

Validity, area, capacity and plan, accuracy. A candidate that breaks a constraint goes no
further. A rung is never left out because other candidates dominate this one: what is measured
of a candidate depends on nothing but the candidate, whoever evaluates it and when.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from imccompiler.compiler import Compilation, compile  # noqa: A004
from imccompiler.compiler import evaluate as execute_program
from imccompiler.cost.area import area_mm2
from imccompiler.errors import DoesNotFitError, ImcError, InternalError
from imccompiler.hardware.load import content_hash, vary
from imccompiler.hardware.schema import Machine
from imccompiler.search.figures import measured
from imccompiler.search.genes import Candidate, Design, design_of
from imccompiler.search.memo import Memo
from imccompiler.search.pareto import Constraints, violation
from imccompiler.search.pipelines import text_of
from imccompiler.search.problem import Payload, Problem, Samples, problem_of
from imccompiler.search.space import Space
from imccompiler.search.trial import Measured, Outcome, Shortage

_RESULTS: Memo[Outcome] = Memo(4096)


def evaluate(payload: Payload, candidate: Candidate) -> Outcome:
    """Measure a candidate; what goes wrong is a result as well.

    Args:
        payload: The space.
        candidate: One of its genome.
    """
    began = time.perf_counter()
    try:
        outcome = _climb(payload, candidate)
    except DoesNotFitError as error:
        outcome = Outcome("infeasible", reason=str(error), shortage=Shortage.of(error))
    except InternalError as error:
        outcome = Outcome("failed", reason=str(error))
    except ImcError as error:
        outcome = Outcome("invalid", reason=str(error))
    except Exception as error:  # noqa: BLE001 - one candidate must not end a study
        outcome = Outcome("failed", reason=f"{type(error).__name__}: {error}")
    return replace(outcome, seconds=time.perf_counter() - began)


def _climb(payload: Payload, candidate: Candidate) -> Outcome:
    """One rung after the other."""
    problem = problem_of(payload)
    space = problem.space
    design = design_of(space, problem.genome.decode(candidate))
    machine = vary(problem.machine, design.overrides)
    text = text_of(space.mapping.pipeline, design.options)
    key = (payload, design.network, content_hash(machine), text, design.objective)
    return _RESULTS.of(key, lambda: _measure(problem, design, machine, text))


def _measure(problem: Problem, design: Design, machine: Machine, text: str) -> Outcome:
    constraints = problem.space.constraints
    metrics = {"area_mm2": Measured(sum(area_mm2(machine).values()), "machine")}
    if violation(metrics, constraints) > 0:
        return _stopped(metrics, constraints)
    compilation = compile(
        problem.network(design.network),
        machine,
        objective=design.objective,
        passes=text,
        effort=0,
        seed=problem.space.seed,
        calibration=problem.calibration,
    )
    metrics = measured(compilation, asked_for(problem.space)) | metrics
    if violation(metrics, constraints) > 0:
        return _stopped(metrics, constraints)
    if problem.samples is not None:
        metrics["accuracy"] = Measured(_accuracy(compilation, problem.samples), "execute")
    return Outcome("complete", metrics)


def _accuracy(compilation: Compilation, samples: Samples) -> float:
    """Share of samples that the program classifies rightly with the machine's own ADC.

    The program itself is executed: how windows are laid out on crossbars decides which products
    a converter sees together, so another mapping of the same network can have another accuracy.
    """
    run = execute_program(compilation, samples.inputs, samples.labels).run
    if run.accuracy is None:
        raise InternalError("an execution with labels gave no accuracy")
    return run.accuracy


def asked_for(space: Space) -> set[str]:
    """All metrics that a space needs."""
    return {*(objective.metric for objective in space.objectives), *space.constraints}


def _stopped(metrics: Mapping[str, Measured], constraints: Constraints) -> Outcome:
    broken = [name for name in metrics if violation({name: metrics[name]}, constraints) > 0]
    text = ", ".join(f"{name} is {metrics[name].value:.6g}" for name in broken)
    return Outcome("stopped", metrics, reason=f"breaks a constraint: {text}")
