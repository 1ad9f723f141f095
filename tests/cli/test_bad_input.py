# ruff: noqa: E501 (a table of models reads best with a model a line)
"""Bad input of every kind: exit code 2, what is wrong, where, no traceback, nothing half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from imccompiler import models

node = helper.make_node


def info(name: str, shape: Any, kind: int = 1) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, value: Any, dtype: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def model(
    nodes: list[onnx.NodeProto],
    shape: Any = (1, 8),
    constants: list[onnx.TensorProto] | None = None,
    outputs: tuple[str, ...] = ("y",),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [info("x", shape)], [info(name, None) for name in outputs], constants or []
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sums(bomb: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    """A network that needs the sum of what `bomb` makes in `b`."""
    total = [
        node("ReduceSum", ["b"], ["s"], "total", keepdims=0),
        node("Cast", ["s"], ["f"], to=1),
        node("Mul", ["x", "f"], ["y"], "last"),
    ]
    return model([*bomb, *total], constants=constants)


def endless(trips: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Concat", ["v", "v"], ["v2"], axis=0)],
        "body",
        [info("i", [], 7), info("c", [], 9), info("v", None, 7)],
        [info("c2", [], 9), info("v2", None, 7)],
    )
    return sums([node("Loop", ["n", "", "v0"], ["b"], "loop", body=body)],
                [tensor("n", trips), tensor("v0", [1, 2])])  # fmt: skip


HUGE = tensor("huge", [10**6, 10**6])
LONG = "n" * 10_000
BAD: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "ConstantOfShape": (lambda: sums([node("ConstantOfShape", ["huge"], ["b"], "bomb")], [HUGE]), "bomb"),
    "Expand": (
        lambda: sums([node("Expand", ["one", "huge"], ["b"], "bomb")], [HUGE, tensor("one", 1)]),
        "bomb",
    ),
    "Tile": (
        lambda: sums([node("Tile", ["one", "huge"], ["b"], "bomb")], [HUGE, tensor("one", [[1]])]),
        "bomb",
    ),
    "Range": (
        lambda: sums(
            [node("Range", ["zero", "n", "one"], ["b"], "bomb")],
            [tensor("zero", 0), tensor("n", 10**12), tensor("one", 1)],
        ),
        "bomb",
    ),
    "Expand below the limit": (
        lambda: sums(
            [node("Expand", ["one", "large"], ["e"], "bomb"), node("Neg", ["e"], ["b"], "neg")],
            [tensor("large", [2**15, 2**15]), tensor("one", 1)],
        ),
        "too large",
    ),
    "Expand of an activation": (
        lambda: model([node("Expand", ["x", "huge"], ["y"], "bomb")], (1, 1), [HUGE]),
        "bomb",
    ),
    "Pad": (
        lambda: model([node("Pad", ["x", "p"], ["y"], "bomb")], (1, 8), [tensor("p", [0, 0, 0, 10**12])]),
        "bomb",
    ),
    "Loop": (lambda: endless(10**12), "loop"),
    "Loop that doubles": (lambda: endless(100), "loop"),
    "OneHot": (
        lambda: sums(
            [node("OneHot", ["i", "depth", "values"], ["b"], "bomb")],
            [tensor("i", [1, 2]), tensor("depth", 10**12), tensor("values", [0, 1])],
        ),
        "bomb",
    ),
    "division by zero": (
        lambda: sums(
            [node("Div", ["one", "zero"], ["b"], "bomb")], [tensor("one", [1]), tensor("zero", [0])]
        ),
        "by zero",
    ),
    "cycle": (
        lambda: model([node("Add", ["x", "b"], ["a"], "one"), node("Relu", ["a"], ["b"], "two"),
                       node("Relu", ["b"], ["y"])]),
        "cycle",
    ),
    "NaN": (
        lambda: model([node("Mul", ["x", "w"], ["y"], "n")], constants=[tensor("w", [np.nan], np.float32)]),
        "tensor 'w': contains NaN",
    ),
    "mismatched": (
        lambda: model([node("MatMul", ["x", "w"], ["y"], "product")],
                      constants=[tensor("w", np.ones((7, 3)), np.float32)]),
        "node 'product'",
    ),
    "negative stride": (
        lambda: model(
            [node("Conv", ["x", "w"], ["y"], "conv", strides=[0, -1])], (1, 1, 8, 8),
            [tensor("w", np.ones((1, 1, 3, 3)), np.float32)],
        ),
        "strides",
    ),
    "kernel larger than image": (
        lambda: model(
            [node("Conv", ["x", "w"], ["y"], "conv")], (1, 1, 2, 2),
            [tensor("w", np.ones((1, 1, 5, 5)), np.float32)],
        ),
        "conv",
    ),
    "zero groups": (
        lambda: model(
            [node("Conv", ["x", "w"], ["y"], "conv", group=0)], (1, 1, 8, 8),
            [tensor("w", np.ones((1, 1, 3, 3)), np.float32)],
        ),
        "group",
    ),
    "zero dimension": (lambda: model([node("Relu", ["x"], ["y"])], (0, 8)), "x.0"),
    "negative dimension": (lambda: model([node("Relu", ["x"], ["y"])], (-5, 8)), "x.0"),
    "huge dimension": (lambda: model([node("Relu", ["x"], ["y"])], (2**40, 2**40)), "input 'x'"),
    "empty activation": (
        lambda: model(
            [node("Slice", ["x", "a", "a"], ["e"], "cut"), node("Relu", ["e"], ["y"])], (1, 8),
            [tensor("a", [3, 3])],
        ),
        "",
    ),
    "other domain": (lambda: model([node("Foo", ["x"], ["y"], "f", domain="com.acme")]), "com.acme"),
    "operator that is not": (
        lambda: model([node("Foo", ["x"], ["y"], "f", domain="com.microsoft")]), "com.microsoft"
    ),
    "long names": (lambda: model([node("Foo", [LONG], ["y"], LONG)]), "nnnn"),
    "two outputs of one name": (lambda: model([node("Relu", ["x"], ["y"])], outputs=("y", "y")), "'y'"),
    "text": (lambda: model([node("StringNormalizer", ["x"], ["y"], "text")]), "text"),
    "integers as floats": (
        lambda: model([node("MatMul", ["x", "w"], ["y"], "product")],
                      constants=[tensor("w", np.ones((8, 3)))]),
        "product",
    ),
    "nothing but constants": (
        lambda: model([node("Constant", [], ["y"], value_float=1.0)]), ""
    ),
}  # fmt: skip


@pytest.fixture
def refused(imcc, tmp_path: Path) -> Callable[..., str]:
    """Compile; exit code 2 or 3, one error, nothing written; what it said."""

    def refused(file: Path | str, *options: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        begin = time.monotonic()
        result = imcc(
            "compile", file, "-H", "isaac", "--effort", "0", *options, "-o", tmp_path / "out"
        )
        assert result.code in {2, 3}, result
        assert result.err.startswith("error: ")
        assert "Traceback" not in result.err
        assert len(result.err) < 4000
        assert time.monotonic() - begin < 20
        assert sorted(tmp_path.rglob("*")) == before
        return result.err

    return refused


@pytest.mark.parametrize("name", BAD)
def test_models_that_are_refused(refused, tmp_path: Path, name: str) -> None:
    build, message = BAD[name]
    path = tmp_path / "bad.onnx"
    path.write_bytes(build().SerializeToString())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**20  # KiB


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"not a network", os.urandom(4096)])
def test_files_that_are_no_models(refused, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    assert "bad.onnx" in refused(path)


def test_paths_that_are_no_files(refused, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "folder.onnx" in refused(tmp_path / "folder.onnx")
    assert "pipe.onnx" in refused(tmp_path / "pipe.onnx")
    assert "no such file" in refused(tmp_path / ("n" * 300))
    assert "/dev/zero" in refused("/dev/zero")


@pytest.mark.parametrize("opset", [-1, 0, 1, 6, 1000, 2**62])
def test_versions_that_are_not_known(refused, tmp_path: Path, opset: int) -> None:
    proto = model([node("Relu", ["x"], ["y"])])
    proto.opset_import[0].version = opset
    (tmp_path / "bad.onnx").write_bytes(proto.SerializeToString())
    assert f"version {opset}" in refused(tmp_path / "bad.onnx")
    proto.opset_import[0].version, proto.ir_version = 17, 99
    (tmp_path / "bad.onnx").write_bytes(proto.SerializeToString())
    assert "IR version 99" in refused(tmp_path / "bad.onnx")


@pytest.mark.parametrize(
    "text", ["x", "=1", "x=", "x=1e400", "x=abc", "x=nan", "x=-1", "x=0", "x=1.5", "x=99999999999"]
)
def test_bindings_that_are_not_possible(refused, tmp_path: Path, text: str) -> None:
    path = tmp_path / "dynamic.onnx"
    path.write_bytes(model([node("Relu", ["v"], ["y"])]).SerializeToString())
    proto = model([node("Relu", ["x"], ["y"])], ("x", 8))
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "v"
    path.write_bytes(proto.SerializeToString())
    message = refused(path, "--bind", text)
    assert "dimension 'x'" in message or f"--bind {text}" in message


def test_names_of_10_000_characters_compile(imcc, tmp_path: Path) -> None:
    proto = model([node("MatMul", ["x", LONG], ["y"], LONG + "2")],
                  constants=[tensor(LONG, np.ones((8, 3)), np.float32)])  # fmt: skip
    (tmp_path / "long.onnx").write_bytes(proto.SerializeToString())
    result = imcc("compile", tmp_path / "long.onnx", "-H", "isaac", "-o", tmp_path / "out")
    assert result.code == 0, result.err[:2000]


def test_paths_and_names_need_not_be_ascii(imcc, tmp_path: Path) -> None:
    proto = model([node("MatMul", ["x", "größe/重み"], ["y"], "слой 🎲")],
                  constants=[tensor("größe/重み", np.ones((8, 3)), np.float32)])  # fmt: skip
    folder = tmp_path / "netz ünïcode 模型"
    folder.mkdir()
    (folder / "é.onnx").write_bytes(proto.SerializeToString())
    result = imcc("compile", folder / "é.onnx", "-H", "isaac", "-o", folder / "出力 ö")
    assert result.code == 0, result.err
    assert imcc("inspect", folder / "出力 ö", "layer", "слой 🎲").code == 0


@pytest.fixture
def limited() -> Any:
    """Files of this process cannot grow beyond 40 KiB: a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_full_disk(refused, limited) -> None:
    del limited
    assert "cannot be written" in refused("digits-cnn")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_that_is_read_only(refused, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in refused("digits-cnn")
    tmp_path.chmod(0o700)


def test_output_where_nothing_can_be_written(imcc) -> None:
    result = imcc("compile", "digits-mlp", "-H", "isaac", "-o", "/proc/out")
    assert result.code == 2
    assert "/proc" in result.err
    result = imcc("models", "export", "lenet", "-o", "/proc/lenet.onnx")
    assert result.code == 2
    assert "/proc" in result.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    """Ctrl-C at several times of a real process."""
    path = tmp_path / "net.onnx"
    path.write_bytes(models.build("lenet").SerializeToString())
    command = [sys.executable, "-c", "from imccompiler.cli import main; main()", "compile", str(path), "-H", "isaac",
               "-o", str(tmp_path / "out")]  # fmt: skip
    for delay_s in (1.2, 2.2):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        time.sleep(delay_s)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        if process.returncode != 0:  # it may have been done before
            assert process.returncode == code
            assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
        else:
            break
