"""Passes by name: ours, and those that other packages bring through entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points

from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, ParseError

from imccompiler.errors import PassError
from imccompiler.passes.base import ImcPass

ENTRY_POINT_GROUP = "imccompiler.passes"

_OURS: Mapping[str, str] = {
    "fold": "fold:FoldPass",
    "canonicalize": "canonicalize:CanonicalizePass",
    "quantize": "quantize:QuantizePass",
    "partition": "partition:PartitionPass",
    "segment": "segment:SegmentPass",
    "replicate": "replicate:ReplicatePass",
    "place": "place:PlacePass",
    "schedule": "schedule:SchedulePass",
    "allocate": "allocate:AllocatePass",
    "emit": "emit:EmitPass",
    "estimate": "estimate:EstimatePass",
}

DEFAULT_PIPELINE = ",".join(_OURS)


def available() -> dict[str, Callable[[], type[ModulePass]]]:
    """Loaders of all passes by name; a loader imports the pass's file."""
    loaders: dict[str, Callable[[], type[ModulePass]]] = {
        name: partial(_load, target) for name, target in _OURS.items()
    }
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        loaders.setdefault(entry.name, entry.load)
    return loaders


def _load(target: str) -> type[ImcPass]:
    file, _, cls = target.partition(":")
    return getattr(import_module(f"imccompiler.passes.{file}"), cls)


def parse(text: str) -> tuple[ModulePass, ...]:
    """Passes of a pipeline such as `quantize{weight_bits=8},partition`.

    Raises:
        PassError: The text is malformed, or a pass or an option is unknown.
    """
    loaders = available()
    try:
        specs = tuple(parse_pipeline(text))
    except (ArgSpecParseError, ParseError) as error:
        raise PassError(f"cannot read the pipeline: {error}", where=text) from error
    passes: list[ModulePass] = []
    for spec in specs:
        if spec.name not in loaders:
            raise PassError(
                f"no pass is named {spec.name!r}",
                where=text,
                hint=f"the passes are {', '.join(sorted(loaders))}",
            )
        try:
            passes.append(loaders[spec.name]().from_spec(spec))
        except (ArgSpecParseError, ParseError, ValueError, TypeError) as error:
            raise PassError(str(error), where=f"pass {spec.name!r}") from error
    return tuple(passes)


def render(passes: tuple[ModulePass, ...], *, include_defaults: bool = False) -> str:
    """The text of a pipeline; with `include_defaults` every option is spelled out."""
    return ",".join(str(p.spec(include_default=include_defaults)) for p in passes)
