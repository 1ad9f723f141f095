"""Networks to compile: seeded ones of known shape, and small trained ones.

Seeded networks have the layers and sizes of the published ones and weights that keep activations
in scale, so latency and energy can be trusted and accuracy means nothing. Trained networks ship
with their weights and with held-out images (`imccompiler.models.digits`).
"""

from __future__ import annotations

if not __name__.startswith("imccompiler."):
    raise ImportError(f"{__name__} must be imported as imccompiler.models")

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imccompiler.errors import ModelError, UserInputError
from imccompiler.models import (
    alexnet,
    bert,
    convnext,
    densenet,
    digits,
    efficientnet,
    gpt2,
    inception,
    keyword_spotter,
    lenet,
    llama,
    lstm_tagger,
    mobilenet,
    moe,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    swin,
    unet,
    vgg,
    vit,
    yolo,
)
from imccompiler.models.digits import network
from imccompiler.models.info import ModelInfo, ModelInput, check_range

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["ModelInfo", "ModelInput", "build", "describe", "digits", "export", "names"]

_Builder = Callable[..., "ModelProto"]

_NETWORKS: dict[str, tuple[ModelInfo, _Builder]] = {
    info.name: (info, builder)
    for info, builder in (
        (lenet.INFO, lenet.build),
        (alexnet.INFO, alexnet.build),
        (vgg.INFO, vgg.build),
        *resnet.NETWORKS,
        (squeezenet.INFO, squeezenet.build),
        (inception.GOOGLENET, inception.googlenet),
        (inception.INCEPTION_V3, inception.inception_v3),
        (mobilenet.V2, mobilenet.v2),
        (mobilenet.V3, mobilenet.v3),
        (efficientnet.INFO, efficientnet.build),
        (shufflenet.INFO, shufflenet.build),
        (densenet.INFO, densenet.build),
        (regnet.INFO, regnet.build),
        (vit.INFO, vit.build),
        (swin.INFO, swin.build),
        (convnext.INFO, convnext.build),
        (yolo.INFO, yolo.build),
        (unet.INFO, unet.build),
        (bert.TINY, bert.tiny),
        (bert.BASE, bert.base),
        (gpt2.INFO, gpt2.build),
        *llama.NETWORKS,
        (moe.INFO, moe.build),
        (lstm_tagger.INFO, lstm_tagger.build),
        (keyword_spotter.INFO, keyword_spotter.build),
        (network.CNN, partial(network.load, network.CNN.name)),
        (network.MLP, partial(network.load, network.MLP.name)),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all networks."""
    return tuple(_NETWORKS)


def describe(name: str) -> ModelInfo:
    """Return what is known about a network, without building it.

    Raises:
        ModelError: If there is no network of that name.
    """
    return _find(name)[0]


def build(name: str, seed: int | None = 0, **options: Any) -> ModelProto:
    """Build a network as an ONNX model (opset 17 or 20, batch 1).

    Args:
        name: One of `names()`.
        seed: Draws the weights, the same bytes for the same seed; a trained network keeps its own.
            None leaves them out: the network can then be compiled for shapes only.
        options: Options of that network's builder, such as `image_size` or `dynamic`.

    Raises:
        ModelError: If the name or an option is unknown, or a value is out of range.
    """
    info, builder = _find(name)
    if seed is not None:
        check_range("seed", seed, 0)
    known = inspect.signature(builder).parameters.keys() - {"seed"}
    if unknown := sorted(options.keys() - known):
        hint = f"it has {', '.join(sorted(known)) or 'none'}"
        raise ModelError(f"unknown option {', '.join(unknown)}", where=name, hint=hint)
    return builder(**options) if info.trained else builder(seed, **options)


def export(name: str, path: Path | str, seed: int | None = 0, **options: Any) -> None:
    """Build a network and write it to an ONNX file, making its folder if need be.

    Takes what `build` takes, and raises what it raises.

    Raises:
        UserInputError: The file cannot be written; then none is left.
    """
    model = build(name, seed, **options)
    path = Path(path)
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(model.SerializeToString(deterministic=True))
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise UserInputError(f"cannot be written: {error}", where=str(path)) from error


def _find(name: str) -> tuple[ModelInfo, _Builder]:
    if name not in _NETWORKS:
        raise ModelError(f"no network is called {name!r}", hint=f"there are {', '.join(names())}")
    return _NETWORKS[name]
