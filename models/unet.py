"""U-Net for segmentation: transposed convolutions up, skip concatenations across."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import conv_norm, image_graph
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

SIZE, WIDTH, LEVELS = 256, 64, 4

INFO = ModelInfo(
    name="unet",
    description="U-Net segmentation of 256x256 images: 4 levels, transposed convolutions, 31.0 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, SIZE, SIZE)),),
    source="Ronneberger et al., U-Net, MICCAI 2015; padded and normalised as in "
    "github.com/milesial/Pytorch-UNet",
)


def build(
    seed: Seed = 0,
    *,
    image_size: int = SIZE,
    classes: int = 2,
    width: int = WIDTH,
    weights: Weights | None = None,
) -> ModelProto:
    """Build U-Net: image [1, 3, image_size, image_size] to logits [1, classes, same size].

    Args:
        seed: Draws the parameters; None leaves them out.
        image_size: Height and width in pixels, a multiple of 16.
        classes: Of a pixel.
        width: Channels at the first level; each level below has twice as many.
        weights: A state dict of Pytorch-UNet as numpy arrays, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("width", width, 1)
    if image_size % 2**LEVELS:
        raise ModelError(
            f"image_size is {image_size}, and must be a multiple of {2**LEVELS}",
            where="image_size",
        )
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes, least=16)
    x = _double(g, "inc.double_conv", x, (3, width))
    skips: list[str] = []
    for level in range(1, LEVELS + 1):
        skips.append(x)
        name, inner = f"down{level}.maxpool_conv", width * 2 ** (level - 1)
        x = g.max_pool(f"{name}.0", x, 2, stride=2)
        x = _double(g, f"{name}.1.double_conv", x, (inner, 2 * inner))
    for level, skip in enumerate(reversed(skips), start=1):
        outer = width * 2 ** (LEVELS - level)
        x = g.conv_transpose(f"up{level}.up", x, (2 * outer, outer), 2, stride=2)
        x = g.node("Concat", f"up{level}.concat", skip, x, axis=1)
        x = _double(g, f"up{level}.conv.double_conv", x, (2 * outer, outer))
    x = g.conv("outc.conv", x, (width, classes), 1)
    return g.finish(x, (1, classes, image_size, image_size))


def _double(g: GraphBuilder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Twice a 3x3 convolution with BatchNormalization and ReLU."""
    inner, outer = channels
    x = conv_norm(g, (f"{name}.0", f"{name}.1"), x, (inner, outer), 3)
    x = conv_norm(g, (f"{name}.3", f"{name}.4"), g.relu(f"{name}.2", x), (outer, outer), 3)
    return g.relu(f"{name}.5", x)
