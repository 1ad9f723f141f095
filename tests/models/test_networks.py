from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from imccompiler import models
from imccompiler.errors import ModelError

SEEDED = tuple(name for name in models.names() if not models.describe(name).trained)
STATISTICS = (".running_mean", ".running_var")


@cache
def built(name: str) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(models.build(name), strict_mode=True)


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def parameters(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


@pytest.mark.parametrize("name", models.names())
def test_passes_the_full_check(name: str) -> None:
    model = models.build(name)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert all(
        node.name == node.output[0] or node.output[0] == "logits" for node in model.graph.node
    )


@pytest.mark.parametrize("name", models.names())
def test_is_as_described(name: str) -> None:
    info = models.describe(name)
    assert info.name == name
    described = [(each.name, each.shape, np.dtype(each.dtype)) for each in info.inputs]
    found = shapes(built(name))
    assert described == [
        (
            each.name,
            found[each.name],
            onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type),
        )
        for each in built(name).graph.input
    ]


@pytest.mark.parametrize("name", models.names())
def test_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    models.export(name, tmp_path / "new" / "a.onnx", seed=3)
    models.export(name, tmp_path / "b.onnx", seed=3)
    assert (tmp_path / "new" / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("name", SEEDED)
def test_seed_changes_the_weights(name: str) -> None:
    one, other = (models.build(name, seed=seed).graph.initializer[0] for seed in (0, 1))
    assert one.dims == other.dims
    assert not np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


@pytest.mark.parametrize("name", SEEDED)
def test_activations_stay_in_scale(name: str, run) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(built(name))
    layers = {
        node.output[0]
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization"}
    }
    model.graph.output.extend(v for v in built(name).graph.value_info if v.name in layers)
    values = run(model)
    for layer in layers - {"logits"}:
        assert 0.1 < values[layer].std() < 10, layer
    assert values["logits"].std() > 0.1
    other = run(model, seed=1)["logits"]
    assert np.abs(values["logits"] - other).max() > 0.1, "the logits hardly depend on the input"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lenet", 61_706),
        ("resnet18", 11_689_512),  # torchvision
        ("squeezenet", 1_235_496),  # torchvision
        ("bert-tiny", 4_385_920 + 258),  # google/bert_uncased_L-2_H-128_A-2 and two labels
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    learnt = (n for n in parameters(built(name)).items() if not n[0].endswith(STATISTICS))
    assert sum(math.prod(shape) for _, shape in learnt) == count


@pytest.mark.parametrize(("name", "count"), [("resnet18", 132_500), ("squeezenet", 50_962)])
def test_products_are_those_that_pimcomp_counts(name: str, count: int) -> None:
    """One mvmul per output position and block of 128 rows, however many columns."""
    found, weights = shapes(built(name)), parameters(built(name))
    assert count == sum(
        math.prod(found[node.output[0]][2:])
        * math.ceil(math.prod(weights[node.input[1]][1:]) / 128)
        for node in built(name).graph.node
        if node.op_type in {"Conv", "Gemm"}
    )


@pytest.mark.parametrize("name", ["resnet18", "squeezenet"])
def test_image_size_and_classes_are_options(name: str, run) -> None:
    model = models.build(name, image_size=32, classes=7)
    assert run(model)["logits"].shape == (1, 7)


def test_given_weights_take_the_place_of_drawn_ones() -> None:
    weights = {each.name: numpy_helper.to_array(each) for each in built("lenet").graph.initializer}
    again = models.build("lenet", seed=1, weights=weights)
    assert again.SerializeToString() == models.build("lenet").SerializeToString()
    with pytest.raises(ModelError, match=r"fc3\.bias: the given weight is \(3,\), not \(10,\)"):
        models.build("lenet", weights=weights | {"fc3.bias": np.zeros(3)})
    del weights["fc3.bias"]
    with pytest.raises(ModelError, match=r"fc3\.bias: the given weights lack"):
        models.build("lenet", weights=weights)


def test_unknown_name() -> None:
    with pytest.raises(ModelError, match=r"'vgg16'(.|\n)*resnet18"):
        models.build("vgg16")
    with pytest.raises(ModelError, match="vgg16"):
        models.describe("vgg16")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet", {"image_size": 32}),
        ("lenet", {"seed": -1}),
        ("resnet18", {"image_size": 31}),
        ("squeezenet", {"classes": 0}),
        ("bert-tiny", {"tokens": 513}),
        ("digits-mlp", {"tokens": 1}),
    ],
)
def test_wrong_options(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        models.build(name, **options)
