"""External data: mapped, inside the model's folder, and as large as it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx

ROWS, COLUMNS = 64, 512


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """A model of two products; `places` gives the entries of the external data of a and b."""

    def network(*places: dict[str, object], data_type: int = TensorProto.FLOAT) -> Path:
        tensors = []
        for name, entries in zip("ab", places, strict=True):
            dims = [ROWS, COLUMNS] if name == "a" else [COLUMNS, ROWS]
            proto = TensorProto(name=name, data_type=data_type, dims=dims, data_location=1)
            for key, value in entries.items():
                proto.external_data.add(key=key, value=str(value))
            tensors.append(proto)
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "a"], ["h"], "first"),
                helper.make_node("MatMul", ["h", "b"], ["y"], "second"),
            ],
            "external",
            [helper.make_tensor_value_info("x", data_type, [1, ROWS])],
            [onnx.ValueInfoProto(name="y")],
            tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return network


BYTES = 4 * ROWS * COLUMNS


@pytest.fixture
def weights(tmp_path: Path) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(2 * ROWS * COLUMNS).astype(np.float32)
    values.tofile(tmp_path / "w.bin")
    return values


def test_values_are_mapped_from_anywhere_in_the_file(network, weights, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"abc" + weights.tobytes())  # not aligned
    first = {"location": "w.bin", "offset": 3}
    second = {"location": "./w.bin", "offset": 3 + BYTES, "length": BYTES}
    store = load_onnx(network(first, second)).store
    assert np.array_equal(store["a"].ravel(), weights[: ROWS * COLUMNS])
    assert np.array_equal(store["b"].ravel(), weights[ROWS * COLUMNS :])
    path = network({"location": "w.bin"}, {"location": "w.bin"})
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    store = load_onnx(path).store
    base = store["a"]
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_bfloat16_is_read_as_float32(network, tmp_path: Path) -> None:
    np.full(ROWS * COLUMNS, 0x3FC0, np.uint16).tofile(tmp_path / "w.bin")  # 1.5
    place = {"location": "w.bin"}
    store = load_onnx(network(place, place, data_type=TensorProto.BFLOAT16)).store
    assert store["a"].dtype == np.float32
    assert (store["a"] == 1.5).all()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"location": "w.bin", "offset": -4}, "offset '-4'"),
        ({"location": "w.bin", "offset": "1e3"}, "offset '1e3'"),
        ({"location": "w.bin", "offset": BYTES, "length": -1}, "length '-1'"),
        ({"location": "w.bin", "offset": BYTES, "length": BYTES - 4}, "which take 131,072"),
        ({"location": "w.bin", "offset": BYTES + 4}, "end at byte 262,148 of 'w.bin', which has"),
        ({"location": "w.bin", "offset": 10**17}, "'w.bin', which has 262,144 bytes"),
        ({"location": "w.bin", "offset": BYTES - 4}, "overlap with those of 'a'"),
        ({"offset": 0}, "in which file"),
        ({"location": ""}, "in which file"),
        ({"location": "none.bin"}, r"none\.bin is missing"),
        ({"location": "w.bin/x"}, "tensor 'b'"),
        ({"location": "."}, "is not a file"),
        ({"location": "sub/../../w.bin"}, "not a path inside"),
        ({"location": "/etc/passwd"}, "not a path inside"),
        ({"location": "C:\\w.bin"}, "not a path inside"),
        ({"location": "..\\w.bin"}, "not a path inside"),
        ({"location": "a\0b"}, "not a path inside"),
        ({"location": "n" * 5000}, "tensor 'b'"),
        ({"location": "out/w.bin"}, "link out of the model's folder"),
    ],
)
def test_places_that_are_not_possible(
    network, weights, tmp_path: Path, second: dict[str, object], message: str
) -> None:
    del weights
    (tmp_path / "out").symlink_to(tmp_path.parent)
    (tmp_path.parent / "w.bin").write_bytes(bytes(BYTES))
    with pytest.raises(ModelError, match=message) as caught:
        load_onnx(network({"location": "w.bin"}, second))
    assert "'b'" in str(caught.value)


def test_links_inside_the_folder_are_followed(network, weights, tmp_path: Path) -> None:
    (tmp_path / "link.bin").symlink_to(tmp_path / "w.bin")
    place = {"location": "link.bin"}
    assert np.array_equal(
        load_onnx(network(place, place)).store["a"].ravel(), weights[: ROWS * COLUMNS]
    )


def test_models_above_2_gib(network, tmp_path: Path) -> None:
    """A sparse file of 5 GiB; values are mapped where they are."""
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(5 * 2**30)
        file.seek(4 * 2**30)
        file.write(np.ones(ROWS * COLUMNS, np.float32).tobytes())
    place = {"location": "w.bin", "offset": 4 * 2**30}
    assert (load_onnx(network(place, place)).store["b"] == 1).all()
