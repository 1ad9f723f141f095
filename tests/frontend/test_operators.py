"""Every operator of ONNX, in the networks of one node that ONNX itself is tested with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import imccompiler
from imccompiler.errors import DoesNotFitError, ModelError
from imccompiler.frontend import load_onnx
from imccompiler.frontend.operators import operators, place_of, with_table

CASES_EACH = 3
ENOUGH_DB = 20.0

UNITS = {"crossbars": "crossbar", "vector unit": "digital", "host": "host"}
ELSEWHERE = {  # not in ONNX's cases as a network of tensors, or below with constant weights
    *("ConcatFromSequence", "MaxRoiPool", "GlobalLpPool", "MeanVarianceNormalization", "Not"),
    *("STFT", "CastLike", "Upsample", "Constant", "Shape", "Size", "Compress"),
    "MelWeightMatrix",  # of scalars, which are constants
}
COARSE = {  # steps at thresholds, bits of floats, differences of few codes: 8 bits say little
    *("BitCast", "GridSample", "Hardmax", "IsInf", "IsNaN", "Round", "ThresholdedRelu", "Mod"),
    *("LogSoftmax", "Softmax", "Attention", "Floor", "Ceil", "TfIdfVectorizer", "OneHot", "Cast"),
}


@cache
def cases() -> dict[str, list[Any]]:
    """Cases of one node by operator; those that spell a function out are left out."""
    from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415

    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            nodes = case.model.graph.node if case.model is not None else ()
            if len(nodes) == 1 and not nodes[0].domain and case.data_sets:
                found.setdefault(nodes[0].op_type, []).append(case)
    return found


def networks(op_type: str) -> Iterator[tuple[onnx.ModelProto, dict[str, np.ndarray]]]:
    """Models with their inputs; integers beside floats become constants, as weights are."""
    version = onnx.defs.onnx_opset_version()
    for case in cases().get(op_type, ()):
        given = [
            numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
            for v in case.data_sets[0][0]
        ]
        arrays = [np.asarray(v) for v in given if isinstance(v, (np.ndarray, np.generic))]
        names = [i.name for i in case.model.graph.input]
        plain = all(a.dtype.kind in "fiub" and a.dtype.isbuiltin == 1 and a.size for a in arrays)
        if len(arrays) != len(names) or not plain or case.model.opset_import[0].version > version:
            continue
        floats = any(a.dtype.kind == "f" for a in arrays)
        inputs = dict(zip(names, arrays, strict=True))
        constants = {
            n: a for n, a in inputs.items() if floats and (a.dtype.kind != "f" or not a.ndim)
        }
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for name, array in constants.items():
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        kept = [i for i in model.graph.input if i.name not in constants]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        yield model, {n: a for n, a in inputs.items() if n not in constants}


def run_cases(op_type: str) -> tuple[int, set[str], list[float]]:
    """Networks that compile and execute exactly, the units they use, and their SQNR."""
    done, units, ratios = 0, set[str](), list[float]()
    for model, inputs in networks(op_type):
        try:
            compiled = imccompiler.compile(model, "isaac", calibration=inputs, check=True, effort=0)
        except (DoesNotFitError, ModelError):  # one must do
            continue
        check = compiled.report.check
        assert check is not None
        assert check.bit_exact
        units |= {o.unit for o in compiled.report.coverage.operators}
        if check.onnxruntime_sqnr_db is not None:
            ratios.append(check.onnxruntime_sqnr_db)
        done += 1
        if done == CASES_EACH:
            break
    return done, units, ratios


@pytest.mark.parametrize("op_type", operators())
def test_operator(op_type: str) -> None:
    place, _ = place_of(op_type)
    if op_type in ELSEWHERE:
        assert place != "refused"
        return
    if place == "refused":
        for model, _ in networks(op_type):
            with pytest.raises(ModelError):
                load_onnx(model)
        return
    done, units, ratios = run_cases(op_type)
    if place in {"vector unit", "host"}:
        assert done
        assert UNITS[place] in units
    assert op_type in COARSE or not ratios or max(ratios) > ENOUGH_DB


def test_the_page_is_what_the_generator_writes() -> None:
    page = Path(__file__).parents[2] / "docs" / "operators.md"
    text = page.read_text(encoding="utf-8")
    assert with_table(text) == text


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


X = noise(1, 4, 6, 6)
BY_HAND = {
    "GlobalLpPool": ({}, [X], {}),
    "MeanVarianceNormalization": ({}, [X], {}),
    "MaxRoiPool": (
        {"pooled_shape": [2, 2]},
        [X],
        {"rois": np.array([[0, 0, 0, 3, 3], [0, 1, 1, 5, 5]], np.float32)},
    ),
    "Upsample": ({}, [X], {"scales": np.array([1, 1, 2, 2], np.float32)}),
    "Compress": ({"axis": 2}, [X], {"condition": np.array([1, 0, 1, 1, 0, 1], bool)}),
    "STFT": (
        {},
        [noise(1, 32, 1)],
        {"step": np.array(4), "window": noise(8, seed=1), "length": np.array(8)},
    ),
    "CastLike": ({}, [X], {"like": np.array(1, np.int32)}),
}


@pytest.mark.parametrize("op_type", BY_HAND)
def test_operator_by_hand(op_type: str) -> None:
    attributes, arrays, weights = BY_HAND[op_type]
    inputs = {f"x{i}": array for i, array in enumerate(arrays)}
    graph = helper.make_graph(
        [helper.make_node(op_type, [*inputs, *weights], ["y"], **attributes)],
        "by hand",
        [helper.make_tensor_value_info(n, 1, a.shape) for n, a in inputs.items()],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    opset = helper.make_opsetid("", 9 if op_type == "Upsample" else 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    compiled = imccompiler.compile(model, "isaac", calibration=inputs, check=True, effort=0)
    check = compiled.report.check
    assert check is not None
    assert check.bit_exact
    assert check.onnxruntime_sqnr_db is None or check.onnxruntime_sqnr_db > ENOUGH_DB
