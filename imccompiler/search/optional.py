"""Packages that only the search needs: imported at first use, with the line to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from imccompiler.errors import UserInputError

_EXTRAS = {"distributed": "dask"}


def require(module: str) -> Any:
    """Import a module of an optional package.

    Raises:
        UserInputError: The package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        extra = _EXTRAS.get(package, "search")
        raise UserInputError(
            f"the package {package!r} is needed and not installed",
            hint=f"pip install 'imccompiler[{extra}]'",
        ) from error
