"""Pipelines of passes whose options a candidate chooses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from xdsl.passes import ModulePass
from xdsl.utils.exceptions import ArgSpecParseError

from imccompiler.errors import PassError
from imccompiler.passes import registry

Pipeline = tuple[ModulePass, ...]


@cache
def pipeline_of(text: str | None) -> Pipeline:
    """The passes of a text, or those of the default pipeline.

    Raises:
        PassError: The text is not a pipeline.
    """
    return registry.parse(text or registry.DEFAULT_PIPELINE)


def parsed_options(pipeline: Pipeline, options: Mapping[str, Any]) -> Pipeline:
    """The pipeline with some options of its passes replaced.

    Args:
        pipeline: Every pass that an option names is in it.
        options: Values by `pass.option`.

    Raises:
        PassError: There is no such pass in the pipeline, or no such option or value.
    """
    by_pass: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        name, dot, option = key.partition(".")
        if not dot:
            raise PassError(f"{key!r} is not of the form pass.option")
        by_pass.setdefault(name, {})[option] = value
    names = [item.name for item in pipeline]
    for name in by_pass:
        if name not in names:
            hint = f"it has {', '.join(names)}"
            raise PassError(f"the pipeline has no pass {name!r}", hint=hint)
    return tuple(_with(item, by_pass.get(item.name, {})) for item in pipeline)


def text_of(pipeline: str | None, options: Mapping[str, Any]) -> str:
    """A pipeline with options, in text; see `parsed_options`."""
    return _text(pipeline, tuple(options.items()))


@cache
def _text(pipeline: str | None, options: tuple[tuple[str, Any], ...]) -> str:
    return registry.render(parsed_options(pipeline_of(pipeline), dict(options)))


def _with(item: ModulePass, options: Mapping[str, Any]) -> ModulePass:
    """A pass with some options replaced."""
    if not options:
        return item
    spec = item.spec()
    for option, value in options.items():
        held = getattr(item, option, None)
        real = isinstance(held, float) and type(value) is int  # YAML's 1 for an option like 0.97
        spec.parameters[option] = (float(value) if real else value,)
    try:
        return type(item).from_spec(spec)
    except (ArgSpecParseError, ValueError, TypeError) as error:
        raise PassError(str(error), where=f"pass {item.name!r}") from error
