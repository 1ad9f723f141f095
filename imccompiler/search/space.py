"""What a study searches over: the content of SPACE.yaml, as frozen pydantic models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Metric = Literal[
    "accuracy", "latency_ns", "interval_ns", "energy_pj", "power_mw", "area_mm2", "crossbars"
]
"""What is measured; `crossbars` counts those that hold weights."""

Goal = Literal["min", "max"]
SamplerName = Literal["nsga2", "random", "tpe"]
MOST_VALUES = 4096


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(_Section):
    """Evenly spaced values, both ends included: by `step`, or by a constant `factor`."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)
    factor: float | None = Field(default=None, gt=1)

    def values(self) -> tuple[float, ...]:
        """All values in order, integers where all numbers given are integers.

        Raises:
            ValueError: The range is empty, too long or not well described.
        """
        if self.low > self.high:
            raise ValueError("low must not be above high")
        if self.factor is not None:
            if self.step is not None or self.low <= 0:
                raise ValueError("a factor needs a low above 0 and no step")
            count = math.log(self.high / self.low) / math.log(self.factor)
            values = [self.low * self.factor**i for i in _indices(count)]
        else:
            step = self.step or 1.0
            values = [self.low + step * i for i in _indices((self.high - self.low) / step)]
        given = (self.low, self.high, self.step or 1.0, self.factor or 1.0)
        if all(number == int(number) for number in given):
            return tuple(int(value) for value in values)
        return tuple(float(f"{value:.12g}") for value in values)  # 0.1 * 3 is 0.3


def _indices(count: float) -> range:
    if count >= MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES} values")
    return range(math.floor(count + 1e-9) + 1)


def _listed(value: Any) -> Any:
    """Values from a list, a range or one value."""
    if isinstance(value, Mapping):
        return Range.model_validate(dict(cast("Mapping[str, Any]", value))).values()
    values = list(cast("list[Any]", value)) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("needs at least one value")
    if any(values[i] in values[:i] for i in range(len(values))):
        raise ValueError("has a value twice")
    return tuple(values)


Values = Annotated[tuple[Any, ...], BeforeValidator(_listed)]


class Data(_Section):
    """What accuracy is measured on."""

    inputs: str = Field(description="`digits`, the held-out digits; or an npz file of the ports")
    labels: str = Field(default="label", description="array of the file with the classes")
    samples: int | None = Field(default=None, gt=0, description="the first so many; else all")


def _data(value: Any) -> Any:
    return {"inputs": value} if isinstance(value, str) else value


class HardwareSpace(_Section):
    """Machines: one to start from, and what varies."""

    base: str = Field(description="a preset's name or a YAML file")
    set: dict[str, Any] = Field(default={}, description="keys that differ from the base")
    fields: dict[str, Values] = Field(default={}, description="values of single keys")
    variants: dict[str, dict[str, dict[str, Any]]] = Field(
        default={}, description="named alternatives of several keys that change together"
    )

    @model_validator(mode="after")
    def _variants_not_empty(self) -> HardwareSpace:
        for name, choices in self.variants.items():
            if not choices:
                raise ValueError(f"variant {name} needs at least one alternative")
        return self


class MappingSpace(_Section):
    """How networks are mapped: a pipeline, and the options of its passes that vary."""

    pipeline: str | None = Field(default=None, description="passes; else the default pipeline")
    passes: dict[str, Values] = Field(default={}, description="values by `pass.option`")
    objective: Annotated[
        tuple[Literal["latency", "throughput", "energy"], ...], BeforeValidator(_listed)
    ] = Field(default=("latency",), description="what mappings are chosen for")


class Objective(_Section):
    """One thing to make small or large."""

    metric: Metric
    goal: Goal

    @model_validator(mode="before")
    @classmethod
    def _usual_goal(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "goal" not in value:
            held = cast("Mapping[str, Any]", value)
            return {**held, "goal": "max" if held.get("metric") == "accuracy" else "min"}
        return value


class Bounds(_Section):
    """What a metric may be."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("needs a min or a max")
        return self


class Space(_Section):
    """A study: what is searched over, what for, and how."""

    networks: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        description="names of networks or ONNX files"
    )
    data: Annotated[Data | None, BeforeValidator(_data)] = None
    calibration: str | None = Field(
        default=None, description="`digits` or an npz file of the ports; else seeded noise"
    )
    hardware: HardwareSpace
    mapping: MappingSpace = MappingSpace()
    objectives: tuple[Objective, ...] = Field(min_length=1)
    constraints: dict[Metric, Bounds] = {}
    sampler: SamplerName = "nsga2"
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=20, ge=2, description="candidates that are asked for at once")
    timeout_s: float = Field(default=300.0, gt=0, description="of one evaluation, in a worker")
    front_effort: int = Field(default=1, ge=0, le=3, description="effort of what is exported")

    @model_validator(mode="after")
    def _consistent(self) -> Space:
        metrics = [objective.metric for objective in self.objectives]
        if len(set(metrics)) < len(metrics):
            raise ValueError("objectives: a metric stands twice")
        if self.data is None and "accuracy" in {*metrics, *self.constraints}:
            raise ValueError("accuracy needs `data`")
        return self
