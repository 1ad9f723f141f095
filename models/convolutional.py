"""Layers that convolutional networks share, in the pieces that exporters write."""

from __future__ import annotations

from imccompiler.models.builder import GraphBuilder, Window
from imccompiler.models.info import ModelInfo, check_range
from imccompiler.models.parameters import Seed, Weights

# Of the layer that follows `squeeze_excite`, whose gates of 1/2 take three quarters of the power;
# they are spread, and a larger gain would grow with every block.
SQUEEZE_GAIN = 2.8


def image_graph(
    info: ModelInfo,
    seed: Seed,
    weights: Weights | None,
    *,
    image_size: int,
    classes: int,
    least: int = 32,
    opset: int = 17,
) -> tuple[GraphBuilder, str]:
    """Begin a classifier of RGB images; return it and its input [1, 3, image_size, image_size].

    Args:
        info: Of the network.
        seed: Draws the parameters; None leaves them out.
        weights: A torchvision state dict as numpy arrays, in place of drawn parameters.
        image_size: Height and width in pixels.
        classes: Number of logits, which is only checked here.
        least: What the network needs of `image_size`.
        opset: Version of ONNX's operators.

    Raises:
        ModelError: If a size is out of range.
    """
    check_range("image_size", image_size, least)
    check_range("classes", classes, 1)
    g = GraphBuilder(info.name, seed=seed, weights=weights, opset=opset)
    return g, g.input("image", (1, 3, image_size, image_size))


def activate(g: GraphBuilder, kind: str, name: str, x: str) -> str:
    """Add an activation: `relu`, `relu6`, `silu`, `hard_swish`, `sigmoid` or `hard_sigmoid`."""
    if kind == "relu6":
        limits = (g.constant(f"{name}.{side}", value) for side, value in (("min", 0), ("max", 6)))
        return g.node("Clip", name, x, *limits)
    if kind == "silu":  # which no opset has
        return g.node("Mul", name, x, g.node("Sigmoid", f"{name}.sigmoid", x))
    if kind == "hard_sigmoid":
        return g.node("HardSigmoid", name, x, alpha=1 / 6, beta=0.5)
    return g.node({"relu": "Relu", "hard_swish": "HardSwish", "sigmoid": "Sigmoid"}[kind], name, x)


def conv_norm(
    g: GraphBuilder,
    names: tuple[str, str],
    x: str,
    channels: tuple[int, int],
    kernel: Window,
    *,
    stride: int = 1,
    pad: Window | None = None,
    groups: int = 1,
    gain: float | None = None,
    scale: float = 1.0,
    epsilon: float = 1e-5,
) -> str:
    """Add a convolution without bias and its BatchNormalization, called by `names`.

    The padding keeps the size at stride 1 unless `pad` says otherwise; `scale` is the gain of the
    BatchNormalization.
    """
    if pad is None:
        pad = kernel // 2 if isinstance(kernel, int) else tuple(size // 2 for size in kernel)
    x = g.conv(
        names[0],
        x,
        channels,
        kernel,
        stride=stride,
        pad=pad,
        groups=groups,
        bias=False,
        gain=gain,
    )
    return g.batch_norm(names[1], x, channels[1], scale=scale, epsilon=epsilon)


def squeeze_excite(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    *,
    kinds: tuple[str, str] = ("relu", "sigmoid"),
) -> str:
    """Scale `channels[0]` channels by what two 1x1 convolutions say of their means.

    `channels[1]` lie between the two, which end in the activations `kinds` (Hu et al., CVPR 2018).
    """
    inner, squeezed = channels
    y = g.node("GlobalAveragePool", f"{name}.avgpool", x)
    y = activate(g, kinds[0], f"{name}.activation", g.conv(f"{name}.fc1", y, (inner, squeezed), 1))
    y = g.conv(f"{name}.fc2", y, (squeezed, inner), 1)
    return g.node("Mul", f"{name}.mul", activate(g, kinds[1], f"{name}.scale", y), x)


def classify(g: GraphBuilder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Average each channel over the image and map the averages to logits: layer `name`."""
    x = g.node("GlobalAveragePool", "avgpool", x)
    return g.gemm(name, g.node("Flatten", "flatten", x), channels)
