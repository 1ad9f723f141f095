import numpy as np
import onnx
from onnx import helper, numpy_helper

from imccompiler.frontend import load_onnx
from imccompiler.hardware.load import load
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes import registry
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.simulator.float_model import run_float


def flattened_classifier() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((3 * 4 * 5, 7)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "w"], ["y"], name="classify"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 3, 4, 5))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 7))],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_product_with_a_flattened_image_becomes_a_window_of_the_same_value():
    network = load_onnx(flattened_classifier())
    image = np.random.default_rng(2).standard_normal((1, 3, 4, 5)).astype(np.float32)
    before = run_float(network.module, network.store, {"image": image})["y"]
    module, store = network.module.clone(), network.store.copy()
    context = XdslContext(CompileContext(load("isaac"), store))
    for item in registry.parse("fold,canonicalize"):
        item.apply(context, module)
    (matmul,) = [op for op in module.body.block.ops if isinstance(op, MatmulOp)]
    assert matmul.window.kernel == (4, 5)
    after = run_float(module, store, {"image": image})["y"]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
