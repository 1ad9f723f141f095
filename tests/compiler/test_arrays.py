from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imccompiler.compiler.arrays import batched, read_arrays, write_arrays
from imccompiler.errors import UserInputError
from imccompiler.program.artifact import Port, Quantization

PORT = Port("image", (1, 2, 3), (0, 1, 2), Quantization(1.0, 0, 8), 0)


@pytest.mark.parametrize("shape", [(1, 2, 3), (5, 2, 3), (5, 1, 2, 3)])
def test_samples_come_first(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    (samples,) = batched({"image": array}, [PORT]).values()
    assert samples.shape[1:] == PORT.shape
    assert samples.ravel().tolist() == array.ravel().tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no array for the network's input 'image'"),
        ({"image": np.zeros((1, 2, 3)), "imag": np.zeros(1)}, "no input 'imag'"),
        ({"image": np.zeros((2, 2))}, "does not fit"),
        ({"image": np.full((1, 2, 3), "a")}, "not a number"),
    ],
)
def test_inputs_that_do_not_fit(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        batched(arrays, [PORT])


def test_ports_with_different_numbers_of_samples() -> None:
    other = Port("mask", (1, 4), (0, 1), Quantization(1.0, 0, 8), 0)
    arrays = {"image": np.zeros((5, 2, 3)), "mask": np.zeros((4, 4))}
    with pytest.raises(UserInputError, match="image 5, mask 4"):
        batched(arrays, [PORT, other])


def test_arrays_read_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", {"image": np.arange(3)})
    assert read_arrays(tmp_path / "x.npz")["image"].tolist() == [0, 1, 2]


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("not a zip file")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    for name in ("text.npz", "absent.npz", "pickled.npz"):
        with pytest.raises(UserInputError, match="cannot be read"):
            read_arrays(tmp_path / name)
    with pytest.raises(UserInputError, match="holds one array"):
        read_arrays(tmp_path / "one.npy")
    with pytest.raises(UserInputError, match="cannot be written"):
        write_arrays(tmp_path / "absent" / "y.npz", {})
