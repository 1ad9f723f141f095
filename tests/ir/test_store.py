"""The weight store: add, hash, save and map back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imccompiler.errors import IRError
from imccompiler.ir.store import WeightStore

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(2.5, np.float64),
    "flag": np.array([True, False]),
    "codes": np.array([-3, 4], np.int8),
    "index": np.array([[2**40]], np.int64),
    "half": np.array([0.5], np.float16),
    "none": np.zeros((0, 4), np.float32),
    "view": np.broadcast_to(np.float32(1.5), (3, 2)),
}


def test_add() -> None:
    store = WeightStore()
    assert store.add("w", ARRAYS["w"]) == "w"
    store.add("w", ARRAYS["w"].copy())  # the same values
    with pytest.raises(IRError, match="'w' is already there with other values"):
        store.add("w", ARRAYS["w"] + 1)
    with pytest.raises(IRError, match="'w' is already there"):
        store.add("w", ARRAYS["w"].astype(np.float64))
    with pytest.raises(IRError, match="no weight named 'x'"):
        store["x"]
    assert "w" in store
    assert list(store) == ["w"]


def test_arrays_lie_as_they_are_saved_but_views_of_few_values_stay_views() -> None:
    store = WeightStore()
    store.add("transposed", ARRAYS["transposed"])
    store.add("view", ARRAYS["view"])
    assert store["transposed"].flags.c_contiguous
    assert store["view"].strides == (0, 0)


def test_copy_is_independent() -> None:
    store = WeightStore(ARRAYS)
    other = store.copy()
    other.add("more", np.zeros(1))
    assert "more" not in store
    assert other["w"] is store["w"]


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        WeightStore(ARRAYS).entries["w"] = np.zeros(1)  # type: ignore[index]


def test_save_and_load(tmp_path: Path) -> None:
    store = WeightStore(ARRAYS)
    store.save(tmp_path / "w.safetensors")
    again = WeightStore.load(tmp_path / "w.safetensors")
    assert again.content_hash() == store.content_hash()
    for name, array in ARRAYS.items():
        assert again[name].dtype == array.dtype
        assert again[name].shape == array.shape
        assert np.array_equal(again[name], array)
    assert not again["w"].flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_hash_depends_on_names_types_shapes_and_values() -> None:
    w = ARRAYS["w"]
    stores = [{"w": w}, {"v": w}, {"w": w.astype(np.float64)}, {"w": w.reshape(3, 2)}, {"w": w + 1}]
    assert len({WeightStore(s).content_hash() for s in stores}) == len(stores)
    assert (
        WeightStore({"a": w, "b": w}).content_hash() == WeightStore({"b": w, "a": w}).content_hash()
    )


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "missing"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "w.safetensors"
    WeightStore(ARRAYS).save(path)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-1], "header": b"x" * 40 + data[40:], "empty": b""}[damage])
    with pytest.raises(IRError, match=r"w\.safetensors: cannot be read"):
        WeightStore.load(path)


def test_types_that_numpy_lacks(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    WeightStore({"w": np.zeros(4, np.float16)}).save(path)
    path.write_bytes(path.read_bytes().replace(b'"F16"', b'"BF16"').replace(b"}} ", b"}}"))
    with pytest.raises(IRError, match="BF16"):
        WeightStore.load(path)


def test_saving_where_one_cannot(tmp_path: Path) -> None:
    with pytest.raises(IRError):
        WeightStore(ARRAYS).save(tmp_path / "no" / "w.safetensors")
