from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from imccompiler import models
from imccompiler.errors import ModelError

SEEDED = tuple(
    name
    for name in models.names()
    if not (models.describe(name).trained or models.describe(name).absent)
)
ABSENT = tuple(name for name in models.names() if models.describe(name).absent)

# Large networks are drawn and run in part, and checked whole without weights.
PARTS: dict[str, dict[str, Any]] = {
    "alexnet": {"hidden": 32},
    "vgg16": {"hidden": 32, "image_size": 64},
    "unet": {"width": 16, "image_size": 64},
    "yolo": {"image_size": 128},
    "vit-b16": {"layers": 2},
    "bert-base": {"layers": 2, "tokens": 32},
    "gpt2": {"layers": 2, "vocabulary": 1000},
}
CLASSIFIERS = (
    *("alexnet", "vgg16", "resnet18", "resnet50", "squeezenet", "googlenet", "inception-v3"),
    *("mobilenet-v2", "mobilenet-v3", "efficientnet-b0", "shufflenet", "densenet121", "regnet"),
    *("vit-b16", "convnext-t"),
)
LAYERS = frozenset(
    {"BatchNormalization", "Conv", "ConvTranspose", "Gemm", "LSTM", "LayerNormalization", "MatMul"}
)


def small(name: str, seed: int | None = 0) -> onnx.ModelProto:
    return models.build(name, seed, **PARTS.get(name, {}))


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with its parameters as inputs, for ONNX's checker wants their values."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    light.graph.input.extend(
        onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in model.graph.initializer
    )
    del light.graph.initializer[:]
    return light


@pytest.mark.parametrize("name", models.names())
def test_passes_the_full_check(name: str) -> None:
    model = models.build(name, seed=None)
    onnx.checker.check_model(without_weights(model), full_check=True)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    assert versions in ({"": 17}, {"": 20})
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        assert all(
            each == node.name or each.startswith(f"{node.name}.") or each in outputs
            for each in node.output
        )
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


@pytest.mark.parametrize("name", models.names())
def test_is_as_described(name: str) -> None:
    info = models.describe(name)
    assert info.name == name
    assert models.build(name, seed=None).graph.name == name
    described = [(each.name, each.shape, np.dtype(each.dtype)) for each in info.inputs]
    assert described == [
        (
            each.name,
            tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim),
            onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type),
        )
        for each in models.build(name, seed=None).graph.input
    ]


@pytest.mark.parametrize("name", [*SEEDED, "digits-cnn", "digits-mlp"])
def test_same_seed_gives_the_same_sound_file(name: str, tmp_path: Path) -> None:
    options = PARTS.get(name, {})
    models.export(name, tmp_path / "new" / "a.onnx", seed=3, **options)
    models.export(name, tmp_path / "b.onnx", seed=3, **options)
    assert (tmp_path / "new" / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    onnx.checker.check_model(tmp_path / "b.onnx", full_check=True)


@pytest.mark.parametrize("name", SEEDED)
def test_activations_stay_in_scale(name: str, run) -> None:
    model = small(name)
    weights = {each.name for each in model.graph.initializer}
    outputs = [each.name for each in model.graph.output]
    layers = {
        node.output[0]
        for node in model.graph.node
        if node.op_type in LAYERS and weights & set(node.input)
    }
    inferred = onnx.shape_inference.infer_shapes(without_weights(model), data_prop=True)
    model.graph.output.extend(v for v in inferred.graph.value_info if v.name in layers)
    values = run(model)
    for layer in layers - set(outputs):
        assert 0.1 < values[layer].std() < 10, layer
    result = values[outputs[0]]
    assert result.std() > 0.1
    other = run(model, seed=1)[outputs[0]]
    assert np.abs(result - other).max() > 0.1, "the outputs hardly depend on the input"


@pytest.mark.parametrize("name", [*SEEDED, *ABSENT])
def test_weights_can_be_left_out(name: str) -> None:
    model = models.build(name, seed=None)
    assert not any(each.HasField("raw_data") for each in model.graph.initializer)
    assert model.ByteSize() < 10 * 2**20


@pytest.mark.parametrize("name", ["lenet", "shufflenet", "bert-tiny", "llama-step"])
def test_seed_changes_the_weights_alone(name: str) -> None:
    one, other = models.build(name), models.build(name, seed=1)
    assert one != other
    assert without_weights(one) == without_weights(other)
    assert without_weights(one) == without_weights(models.build(name, seed=None))


@pytest.mark.parametrize("name", ABSENT)
def test_too_many_weights_are_never_drawn(name: str) -> None:
    assert models.build(name, seed=0) == models.build(name, seed=None)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_image_size_and_classes_are_options(name: str, run) -> None:
    size = {"alexnet": 67, "inception-v3": 75}.get(name, 33)
    options = {**PARTS.get(name, {}), "image_size": size, "classes": 7}
    assert run(models.build(name, **options))["logits"].shape == (1, 7)


def test_given_weights_take_the_place_of_drawn_ones() -> None:
    model = models.build("lenet")
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    again = models.build("lenet", seed=1, weights=weights)
    assert again == model
    with pytest.raises(ModelError, match=r"fc3\.bias: the given weight is \(3,\), not \(10,\)"):
        models.build("lenet", weights=weights | {"fc3.bias": np.zeros(3)})
    del weights["fc3.bias"]
    with pytest.raises(ModelError, match=r"fc3\.bias: the given weights lack"):
        models.build("lenet", weights=weights)


def test_unknown_name() -> None:
    with pytest.raises(ModelError, match=r"'vgg17'(.|\n)*resnet18"):
        models.build("vgg17")
    with pytest.raises(ModelError, match="vgg17"):
        models.describe("vgg17")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet", {"image_size": 32}),
        ("lenet", {"seed": -1}),
        ("resnet18", {"image_size": 31}),
        ("squeezenet", {"classes": 0}),
        ("bert-tiny", {"tokens": 513}),
        ("digits-mlp", {"tokens": 1}),
        ("alexnet", {"image_size": 66}),
        ("inception-v3", {"image_size": 74}),
        ("vgg16", {"hidden": 0}),
        ("swin-t", {"image_size": 256}),
        ("vit-b16", {"layers": 0}),
        ("bert-base", {"tokens": 0}),
        ("gpt2", {"tokens": 1025}),
        ("llama-prefill", {"tokens": 4097}),
        ("llama-step", {"past": 0}),
        ("moe", {"chosen": 9}),
        ("lstm-tagger", {"hidden": 0}),
        ("keyword-spotter", {"frames": 1}),
    ],
)
def test_wrong_options(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        models.build(name, **options)
