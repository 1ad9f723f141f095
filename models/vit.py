"""ViT-B/16 in torchvision's layout; GELU as the operator of opset 20."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import image_graph
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import fused_attention, layer_norm, linear

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="vit-b16",
    description="ViT-B/16 for ImageNet: patches of 16x16, 12 layers, 12 heads, 86.6 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; torchvision",
)

PATCH, HIDDEN, HEADS, FEED_FORWARD = 16, 768, 12, 3072
EPSILON = 1e-6


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    layers: int = 12,
    weights: Weights | None = None,
) -> ModelProto:
    """Build ViT-B/16: image [1, 3, image_size, image_size] to logits [1, classes].

    Args:
        seed: Draws the parameters; None leaves them out.
        image_size: Height and width in pixels, at least 16; a last incomplete patch is left out.
        classes: Number of logits.
        layers: Of the encoder.
        weights: A torchvision state dict as numpy arrays, `in_proj_weight` and `in_proj_bias`
            renamed to `in_proj.weight` and `in_proj.bias`, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("layers", layers, 1)
    size = {"image_size": image_size, "classes": classes, "least": PATCH}
    g, x = image_graph(INFO, seed, weights, **size, opset=20)
    x = g.conv("conv_proj", x, (3, HIDDEN), PATCH, stride=PATCH, gain=1.0)
    patches = (image_size // PATCH) ** 2
    x = g.node("Reshape", "patches", x, g.constant("patches.shape", [1, HIDDEN, patches], "int64"))
    x = g.node("Transpose", "patches.transpose", x, perm=[0, 2, 1])
    token = g.parameter("class_token", 1, 1, HIDDEN, std=1.0)
    x = g.node("Concat", "tokens", token, x, axis=1)
    positions = g.parameter("encoder.pos_embedding", 1, patches + 1, HIDDEN, std=0.5)
    x = g.node("Add", "encoder.embedded", x, positions)
    for layer in range(layers):
        x = _layer(g, f"encoder.layers.encoder_layer_{layer}", x, patches + 1)
    x = layer_norm(g, "encoder.ln", x, HIDDEN, epsilon=EPSILON)
    x = g.node("Gather", "token", x, g.constant("token.index", 0, "int64"), axis=1)
    return g.finish(g.gemm("heads.head", x, (HIDDEN, classes)), (1, classes))


def _layer(g: GraphBuilder, name: str, x: str, tokens: int) -> str:
    """Attention and feed-forward, each normalised before and added to what came in."""
    y = layer_norm(g, f"{name}.ln_1", x, HIDDEN, epsilon=EPSILON)
    projections = (f"{name}.self_attention.in_proj", f"{name}.self_attention.out_proj")
    y = fused_attention(g, projections, y, (1, tokens, HIDDEN), HEADS)
    x = g.node("Add", f"{name}.add_1", y, x)
    y = layer_norm(g, f"{name}.ln_2", x, HIDDEN, epsilon=EPSILON)
    y = g.node("Gelu", f"{name}.mlp.1", linear(g, f"{name}.mlp.0", y, (HIDDEN, FEED_FORWARD)))
    y = linear(g, f"{name}.mlp.3", y, (FEED_FORWARD, HIDDEN))
    return g.node("Add", f"{name}.add_2", x, y)
