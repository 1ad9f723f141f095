"""Rules of ops and modules: each can be broken, and the error names the op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

from imccompiler.errors import IRError
from imccompiler.ir import decisions as d
from imccompiler.ir.attributes import from_attribute, to_attribute, to_attributes, to_python
from imccompiler.ir.dialect import InputOp, MatmulOp, OutputOp, WeightOp
from imccompiler.ir.shapes import PLAIN, matmul_output_shape, window_output_size
from imccompiler.ir.text import parse_module, print_module, read_module
from imccompiler.ir.types import dtype_of, shape_of, tensor_type
from imccompiler.ir.verify import verify

CONV = (
    "window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], "
    'dilations = [1, 1]>, activation = "none"'
)
PLAIN_TEXT = (
    "window = #imc.window<kernel = [], strides = [], pads = [], dilations = []>, "
    'activation = "none"'
)
SOURCE = '#imc.source<node = "layer", op_type = "Conv">'


def matmul(
    decisions: str = PLAIN_TEXT,
    x: str = "1x4",
    w: str = "4x6",
    y: str = "1x6",
    bias: str | None = None,
) -> str:
    """A module of one matmul; shapes as in `1x4`."""
    operand, kind = ("", "") if bias is None else ("bias %b", f", tensor<{bias}xf32>")
    return f"""builtin.module {{
  %x = imc.input "x" : tensor<{x}xf32>
  %w = imc.weight "w" : tensor<{w}xf32>
  %b = imc.weight "b" : tensor<{bias or 1}xf32>
  %y = imc.matmul %x, %w {operand} {{{decisions}, source = {SOURCE}}} :
    tensor<{x}xf32>, tensor<{w}xf32> {kind} -> tensor<{y}xf32>
  imc.output "y" %y : tensor<{y}xf32>
}}"""


TILED = PLAIN_TEXT + ", tiling = #imc.tiling<rows = 1, columns = 1, slices = 4>"


@pytest.mark.parametrize(
    "text",
    [
        matmul(),
        matmul(bias="6"),
        matmul(CONV, "1x4x8x8", "6x4x3x3", "1x6x8x8"),
        matmul(CONV, "1x4x8x8", "6x4x3x3", "1x6x8x8", bias="6"),
        matmul(TILED + ", replication = #imc.replication<copies = 2>"),
        matmul(
            TILED
            + ", replication = #imc.replication<copies = 2>"
            + ", placement = #imc.placement<cores = [0, 1]>"
        ),
    ],
)
@pytest.mark.parametrize("generic", [False, True])
def test_sound_modules_print_and_parse_back(text: str, generic: bool) -> None:
    module = parse_module(text)
    again = parse_module(print_module(module, generic=generic))
    assert again.is_structurally_equivalent(module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (matmul(w="5x6"), r"cannot multiply \(1, 4\) and \(5, 6\)"),
        (matmul(w="4x6x1"), "cannot multiply"),
        (matmul(y="1x7"), r"result must have shape \(1, 6\)"),
        (matmul(bias="7"), r"bias must have shape \(6,\)"),
        (matmul(PLAIN_TEXT.replace('"none"', '"gelu"')), "activation must be one of"),
        (matmul(CONV, "1x4x8x8", "6x5x3x3", "1x6x8x8"), "4 input channels do not fit"),
        (matmul(CONV, "1x4x8", "6x4x3x3", "1x6x8x8"), "needs operands of rank 4"),
        (matmul(CONV, "1x4x8x8", "6x4x3x2", "1x6x8x8"), "does not have kernel"),
        (
            matmul(
                CONV.replace("pads = [1, 1, 1, 1]", "pads = [0, 0, 0, 0]"),
                "1x4x2x8",
                "6x4x3x3",
                "1x6x1x6",
            ),
            "does not fit an input",
        ),
        (
            matmul(
                CONV.replace("strides = [1, 1]", "strides = [1]"), "1x4x8x8", "6x4x3x3", "1x6x8x8"
            ),
            "must match the kernel's axes",
        ),
        (
            matmul(
                TILED
                + ", replication = #imc.replication<copies = 2, row_split = 2>"
                + ", placement = #imc.placement<cores = [0, 1]>"
            ),
            "names 2 cores for 4 parts",
        ),
    ],
)
def test_rules_of_matmul(text: str, message: str) -> None:
    with pytest.raises(IRError, match=rf"<text>: imc\.matmul of 'layer' \(Conv\): .*{message}"):
        parse_module(text)


def dynamic(lhs: str, rhs: str, result: str) -> str:
    return f"""builtin.module {{
  %a = imc.input "a" : tensor<{lhs}xf32>
  %b = imc.input "b" : tensor<{rhs}xf32>
  %c = imc.dynamic_matmul %a, %b {{}} : tensor<{lhs}xf32>, tensor<{rhs}xf32> -> tensor<{result}xf32>
  imc.output "c" %c : tensor<{result}xf32>
}}"""


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (("2x3", "4x5", "2x5"), r"cannot multiply \(2, 3\) and \(4, 5\)"),
        (("3", "3x5", "1x5"), "cannot multiply"),
        (("2x3", "3x5", "2x4"), r"result must have shape \(2, 5\)"),
        (("7x2x3", "3x5", "2x5"), r"result must have shape \(7, 2, 5\)"),
        (("7x2x3", "6x3x5", "7x2x5"), "do not broadcast"),
    ],
)
def test_rules_of_dynamic_matmul(shapes: tuple[str, str, str], message: str) -> None:
    with pytest.raises(IRError, match=rf"imc\.dynamic_matmul: .*{message}"):
        parse_module(dynamic(*shapes))


def test_dynamic_matmul_broadcasts() -> None:
    module = parse_module(dynamic("7x1x2x3", "6x3x5", "7x6x2x5"))
    (op,) = [op for op in module.body.block.ops if op.name == "imc.dynamic_matmul"]
    assert op.macs == 7 * 6 * 2 * 5 * 3


def digital(op_type: str = "Relu", attributes: str = "{}", source: str = "") -> str:
    return f"""builtin.module {{
  %x = imc.input "x" : tensor<2xf32>
  %y = imc.digital "{op_type}"(%x) {attributes} {{{source}}} : (tensor<2xf32>) -> tensor<2xf32>
  imc.output "y" %y : tensor<2xf32>
}}"""


def test_rules_of_digital() -> None:
    parse_module(digital())
    with pytest.raises(IRError, match="op_type must not be empty"):
        parse_module(digital(""))
    with pytest.raises(IRError, match=r"imc\.digital: .*is not an attribute of a digital"):
        parse_module(digital(attributes="{a = f32}"))


def test_dimensions_are_static() -> None:
    text = matmul().replace("1x4xf32", "?x4xf32")
    with pytest.raises(IRError, match="every dimension must be static"):
        parse_module(text)


RELU = 'source = #imc.source<node = "n", op_type = "Relu">'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (digital().replace('imc.output "y" %y : tensor<2xf32>', ""), "at least one imc.output"),
        (
            digital().replace("imc.output", 'imc.output "y" %x : tensor<2xf32>\n imc.output'),
            "the output 'y' stands on 2 ops",
        ),
        (
            digital().replace("%y =", '%z = imc.input "x" : tensor<2xf32>\n %y ='),
            "the input 'x' stands on 2 ops",
        ),
        (
            digital(source=RELU).replace(
                "imc.output",
                f'%z = imc.digital "Relu"(%y) {{}} {{{RELU}}} : (tensor<2xf32>) -> '
                "tensor<2xf32>\n imc.output",
            ),
            "the source 'n' stands on 2 ops",
        ),
        (digital().replace("imc.output", "builtin.module {}\n imc.output"), "imc ops only"),
    ],
)
def test_rules_of_modules(text: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        parse_module(text)


@pytest.mark.parametrize(
    "name", ["bild", "größe", "画像", "a/b:0", 'say "x"', "back\\slash", "tab\t"]
)
def test_names_of_any_letters(name: str) -> None:
    x = InputOp(name, tensor_type((1,)))
    module = ModuleOp([x, OutputOp(name, x.result)])
    for generic in (False, True):
        again = parse_module(print_module(module, generic=generic))
        assert again.is_structurally_equivalent(module)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "builtin.module {", 'builtin.module { imc.output "x" %0 : tensor<1xf32> }', "\0"],
)
def test_what_is_no_module(text: str) -> None:
    with pytest.raises(IRError):
        parse_module(text)


def test_reading_files(tmp_path) -> None:
    path = tmp_path / "net.mlir"
    with pytest.raises(IRError, match=r"net\.mlir: cannot be read"):
        read_module(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(IRError, match="cannot be read"):
        read_module(path)
    path.write_text(matmul(w="5x6"))
    with pytest.raises(IRError, match=r"net\.mlir: imc\.matmul of 'layer'"):
        read_module(path)
    path.write_text(matmul())
    verify(read_module(path))


def test_ops_built_in_python_equal_those_read() -> None:
    x, w = InputOp("x", tensor_type((1, 4))), WeightOp("w", tensor_type((4, 6)))
    b = WeightOp("b", tensor_type((1,)))
    source = d.Source(node="layer", op_type="Conv")
    y = MatmulOp(x.result, w.result, None, tensor_type((1, 6)), window=PLAIN, source=source)
    module = ModuleOp([x, w, b, y, OutputOp("y", y.result)])
    verify(module)
    assert module.is_structurally_equivalent(parse_module(matmul()))


@pytest.mark.parametrize(
    ("text", "channels", "inner", "macs"),
    [
        (matmul(), 6, 4, 24),
        (matmul(CONV, "1x4x8x8", "6x4x3x3", "1x6x8x8"), 6, 36, 36 * 6 * 64),
        (
            matmul(
                CONV.replace("dilations = [1, 1]", "dilations = [1, 1], groups = 2"),
                "1x4x8x8",
                "6x2x3x3",
                "1x6x8x8",
            ),
            6,
            18,
            18 * 6 * 64,
        ),
    ],
)
def test_sizes_of_matmul(text: str, channels: int, inner: int, macs: int) -> None:
    (op,) = [op for op in parse_module(text).body.block.ops if isinstance(op, MatmulOp)]
    assert (op.output_channels, op.inner_size, op.macs) == (channels, inner, macs)


@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3)
)
def test_window_output_size_counts_positions(
    size: int, kernel: int, stride: int, pad: int, dilation: int
) -> None:
    window = d.Window(kernel=(kernel,), strides=(stride,), pads=(pad, 1), dilations=(dilation,))
    padded, span = size + pad + 1, dilation * (kernel - 1) + 1
    positions = [i for i in range(0, padded, stride) if i + span <= padded]
    if not positions:
        with pytest.raises(VerifyException):
            matmul_output_shape((1, 1, size), (1, 1, kernel), window)
    else:
        assert window_output_size(size, 0, window) == len(positions)
        assert matmul_output_shape((1, 1, size), (1, 1, kernel), window)[2] == len(positions)


NUMBERS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False))


@given(
    st.dictionaries(
        st.text("abcxyz_", min_size=1, max_size=4),
        st.one_of(
            NUMBERS,
            st.text(max_size=5),
            st.lists(st.integers(-(2**60), 2**60), max_size=4).map(tuple),
            st.lists(st.floats(allow_nan=False), min_size=1, max_size=4).map(tuple),
            st.lists(st.text("abc", max_size=3), min_size=1, max_size=3).map(tuple),
        ),
        max_size=4,
    )
)
def test_attributes_go_and_come_back(values: dict[str, object]) -> None:
    assert to_python(to_attributes(values)) == values


def test_attributes_of_other_kinds_are_refused() -> None:
    for value in (None, object(), [1, "a"], {"a": 1}, [[1]]):
        with pytest.raises(IRError, match="cannot be an attribute"):
            to_attribute(value)
    with pytest.raises(IRError, match="is not an attribute"):
        from_attribute(tensor_type((1,)))


@pytest.mark.parametrize(
    "name", ["f2", "f4", "f8", "?", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8))]
)
def test_element_types(name: str) -> None:
    op = InputOp("x", tensor_type((2, 3), name))
    assert dtype_of(op.result) == np.dtype(name)
    assert shape_of(op.result) == (2, 3)


def test_unknown_element_types() -> None:
    with pytest.raises(VerifyException, match="complex128"):
        tensor_type((1,), "complex128")
