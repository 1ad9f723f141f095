"""Reading: what is not a sound model is refused with the reason."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from imccompiler import models
from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx
from imccompiler.frontend.constants import Constants, seeded
from imccompiler.frontend.read import read_model

node = helper.make_node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.fixture(scope="module")
def lenet() -> bytes:
    return models.build("lenet").SerializeToString()


def test_path_bytes_and_model_give_the_same(lenet: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(lenet)
    model = onnx.load_from_string(lenet)
    networks = [load_onnx(path), load_onnx(str(path)), load_onnx(lenet), load_onnx(model)]
    assert {n.store.content_hash() for n in networks} == {networks[0].store.content_hash()}
    assert [n.name for n in networks] == ["net", "net", "lenet", "lenet"]
    assert model.SerializeToString() == lenet  # not changed


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        load_onnx(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="directory"):
        load_onnx(tmp_path)


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match=r"empty\.onnx: is empty"):
        load_onnx(tmp_path / "empty.onnx")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_cut_off(lenet: bytes, share: float) -> None:
    with pytest.raises(ModelError):
        load_onnx(lenet[: int(len(lenet) * share)])


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes(data: bytes) -> None:
    with pytest.raises(ModelError):
        load_onnx(data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_crash(data: st.DataObject) -> None:
    raw = bytearray(_tiny().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        load_onnx(bytes(raw))


def _tiny() -> onnx.ModelProto:
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["h"], "a"), node("Relu", ["h"], ["y"], "b")],
        "tiny",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", 1, [1, 2])],
        [numpy_helper.from_array(noise(3, 2), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: m.graph.node[0].input.__setitem__(0, "y"), "node 'a'.*cycle"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "z"), "node 'a'.*'z' is not produced"),
        (lambda m: m.graph.node[1].output.__setitem__(0, "h"), "two producers|not produced"),
        (lambda m: m.graph.output[0].__setattr__("name", "z"), "output 'z'"),
        (lambda m: m.graph.ClearField("output"), "no outputs"),
        (lambda m: m.ClearField("opset_import"), "version"),
        (lambda m: m.opset_import[0].__setattr__("version", 6), "version 6"),
        (lambda m: m.opset_import[0].__setattr__("version", 999), "version 999"),
        (lambda m: m.graph.node[1].__setattr__("domain", "com.acme"), "node 'b'.*'com.acme'"),
        (lambda m: m.graph.node[1].__setattr__("op_type", "Relux"), "node 'b'.*'Relux'"),
        (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "'w': is given twice"),
        (lambda m: m.graph.initializer[0].dims.__setitem__(0, 4), "holds 24 bytes"),
        (lambda m: m.graph.initializer[0].dims.__setitem__(0, -3), "'w'"),
        (lambda m: m.graph.initializer[0].ClearField("raw_data"), "'w'"),
        (lambda m: m.graph.initializer[0].__setattr__("data_type", 8), "'w'"),
        (lambda m: m.graph.initializer[0].__setattr__("data_type", 77), "'w'"),
        (
            lambda m: m.graph.initializer[0].__setattr__(
                "raw_data", np.full((3, 2), np.nan, np.float32).tobytes()
            ),
            "'w': contains NaN",
        ),
        (lambda m: m.graph.output[0].type.tensor_type.shape.dim.add(), "shapes|shape"),
        (lambda m: m.graph.node[1].input.append("h"), "node 'b'.*is not sound"),
        (lambda m: m.graph.node[1].attribute.add(name="a", i=1, type=2), "node 'b'.*not sound"),
        (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    ],
)
def test_unsound_models(damage: Callable[[onnx.ModelProto], Any], message: str) -> None:
    model = _tiny()
    damage(model)
    with pytest.raises(ModelError, match=message):
        load_onnx(model)


def test_nodes_in_any_order() -> None:
    model = _tiny()
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    assert load_onnx(model).coverage == load_onnx(_tiny()).coverage


def test_names_of_nodes_are_made_unique() -> None:
    model = _tiny()
    model.graph.node[0].name, model.graph.node[1].name = "", ""
    module = load_onnx(model).module
    sources = [
        op.properties["source"].node for op in module.body.block.ops if "source" in op.properties
    ]
    assert sources == ["MatMul_0", "Relu_1"]
    model.graph.node[0].name, model.graph.node[1].name = "n", "n"
    module = load_onnx(model).module
    sources = [
        op.properties["source"].node for op in module.body.block.ops if "source" in op.properties
    ]
    assert sources == ["n", "n.2"]


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model whose weights lie in `weights.bin` beside it."""
    path = tmp_path / "model" / "net.onnx"
    path.parent.mkdir()
    onnx.save_model(
        models.build("lenet"),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def test_external_data(external: Path, lenet: bytes) -> None:
    network = load_onnx(external)
    assert network.external
    inside = load_onnx(lenet)
    assert not inside.external
    assert network.store.content_hash() == inside.store.content_hash()


def test_missing_external_data(external: Path) -> None:
    (external.parent / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin is missing(.|\n)*--shapes-only"):
        load_onnx(external)
    network = load_onnx(external, shapes_only=True)
    assert network.coverage == load_onnx(models.build("lenet")).coverage
    assert "seeded" in network.notes[0]


def test_external_data_that_is_cut_off(external: Path) -> None:
    with (external.parent / "weights.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ModelError, match="tensor "):
        load_onnx(external)


def test_external_data_needs_a_folder(external: Path) -> None:
    data = external.read_bytes()
    with pytest.raises(ModelError, match="in another file"):
        load_onnx(data)
    assert load_onnx(data, shapes_only=True).coverage.crossbar_macs == 416_520


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "hard.bin"])
@pytest.mark.parametrize("shapes_only", [False, True])
def test_external_data_outside_the_folder(external: Path, location: str, shapes_only: bool) -> None:
    weights = external.parent / "weights.bin"
    secret = external.parent.parent / "secret.bin"
    secret.write_bytes(weights.read_bytes())
    (external.parent / "link.bin").symlink_to(secret)
    os.link(secret, external.parent / "hard.bin")
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    onnx.save(model, external)
    with pytest.raises(ModelError, match=r"tensor .*cannot be read"):
        load_onnx(external, shapes_only=shapes_only)


def test_weights_are_not_copied(lenet: bytes) -> None:
    store = load_onnx(lenet).store
    assert not store["conv1.weight"].flags.writeable
    assert not store["conv1.weight"].flags.owndata  # a view of what was read


def test_large_tensors_are_not_read_for_shapes_only() -> None:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[50_000, 1000])
    array = Constants({"w": tensor}, shapes_only=True).array("w")
    assert array.shape == (50_000, 1000)
    assert array.base is not None
    assert array.strides == (0, 4)
    assert abs(array[0].std() - 1 / np.sqrt(50_000)) < 1e-3


def test_seeded_values_depend_on_the_name_only() -> None:
    shape = (8, 4, 3, 3)
    assert np.array_equal(seeded("a", shape, np.dtype("f4")), seeded("a", shape, np.dtype("f4")))
    assert not np.array_equal(
        seeded("a", shape, np.dtype("f4")), seeded("b", shape, np.dtype("f4"))
    )
    assert set(np.unique(seeded("a", shape, np.dtype("i1")))) <= set(range(-127, 128))


def test_weights_declared_as_inputs_are_absent_ones() -> None:
    model = models.build("lenet")
    tensors = list(model.graph.initializer)
    for tensor in tensors:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    expected = load_onnx(models.build("lenet")).coverage
    assert load_onnx(model).coverage == expected  # older models list their weights as inputs too
    kept = [t for t in tensors if t.data_type != onnx.TensorProto.FLOAT]
    kept = [onnx.TensorProto.FromString(t.SerializeToString()) for t in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    assert load_onnx(model, shapes_only=True).coverage == expected


def test_absent_indices_are_not_invented(make_model) -> None:
    gather = node("Gather", ["x", "i"], ["y"])
    model = make_model([gather], {"x": noise(5, 3)}, {"i": np.array([1, 2])})
    model.graph.initializer[0].ClearField("raw_data")
    with pytest.raises(ModelError, match="tensor 'i'"):
        load_onnx(model, shapes_only=True)


def test_read_model_says_the_opset() -> None:
    assert read_model(_tiny()).opset == 17
