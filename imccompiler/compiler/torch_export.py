"""PyTorch in: a `torch.nn.Module` with example inputs becomes an ONNX model."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from imccompiler.errors import ModelError, UserInputError

if TYPE_CHECKING:
    from onnx import ModelProto


class Module(Protocol):
    """What is needed of a `torch.nn.Module`: types that hold where torch is not installed."""

    training: bool

    def eval(self) -> Any:
        """Take it to evaluation mode."""

    def train(self, mode: bool = True) -> Any:
        """Take it to training mode, or out of it."""


def is_module(model: object) -> TypeGuard[Module]:
    """Whether it is a `torch.nn.Module`; torch is not imported, since a module's maker did so."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def export_module(module: Module, example_inputs: tuple[Any, ...] | None) -> ModelProto:
    """Export a module with the shapes of its example inputs, in evaluation mode.

    Args:
        module: Left in the mode in which it was.
        example_inputs: What `forward` takes by position.

    Raises:
        UserInputError: There are no example inputs.
        ModelError: torch cannot export it.
    """
    torch: Any = importlib.import_module("torch")
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, (tuple, list)) or not example_inputs:
        raise UserInputError(
            "a torch.nn.Module needs example inputs",
            where="example_inputs",
            hint="give a tuple of tensors, such as example_inputs=(torch.zeros(1, 3, 224, 224),)",
        )
    training = module.training
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(), tuple(example_inputs), dynamo=True, verbose=False
            )
    except Exception as error:  # torch raises of every kind here
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"torch cannot export it: {reason}",
            where=type(module).__name__,
            hint="call torch.onnx.export(module, inputs, dynamo=True) to see all that it says",
        ) from error
    finally:
        module.train(training)
    if program is None:
        raise ModelError("torch cannot export it", where=type(module).__name__)
    return program.model_proto
