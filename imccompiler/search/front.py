"""The front of a study as files: front.json, front.csv, and a compiled folder for each member."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imccompiler.compiler import compile, evaluate  # noqa: A004
from imccompiler.compiler.folder import REPORT, read_report, update_report
from imccompiler.cost.area import area_mm2
from imccompiler.errors import InternalError
from imccompiler.hardware.load import vary
from imccompiler.report.schema import Report
from imccompiler.search.evaluate import planned_metrics
from imccompiler.search.executor import Workers, run_all
from imccompiler.search.genes import Candidate, Genome, design_of
from imccompiler.search.pareto import Member
from imccompiler.search.pipelines import text_of
from imccompiler.search.problem import Payload, Problem, problem_of
from imccompiler.search.read_space import locate
from imccompiler.search.space import Space
from imccompiler.search.trial import Trial
