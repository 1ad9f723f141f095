"""Sizes of the networks against the published ones; without weights, so at no cost."""

from __future__ import annotations

import math
from functools import cache

import onnx
import pytest

from imccompiler import models

STATISTICS = (".running_mean", ".running_var")

Shapes = dict[str, tuple[int, ...]]


@cache
def bare(name: str) -> onnx.ModelProto:
    model = models.build(name, seed=None)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def parameters(model: onnx.ModelProto) -> Shapes:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lenet", 61_706),
        ("alexnet", 60_965_224),  # bvlc_alexnet.caffemodel
        ("vgg16", 138_357_544),  # torchvision
        ("resnet18", 11_689_512),  # torchvision
        ("resnet34", 21_797_672),  # torchvision
        ("resnet50", 25_557_032),  # torchvision
        ("squeezenet", 1_235_496),  # torchvision
        ("googlenet", 6_624_904),  # torchvision
        ("inception-v3", 23_834_568),  # torchvision's, aux_logits=False
        ("mobilenet-v2", 3_504_872),  # torchvision
        ("mobilenet-v3", 5_483_032),  # torchvision
        ("efficientnet-b0", 5_288_548),  # torchvision
        ("shufflenet", 2_278_604),  # torchvision
        ("densenet121", 7_978_856),  # torchvision
        ("regnet", 4_344_144),  # torchvision
        ("vit-b16", 86_567_656),  # torchvision
        ("swin-t", 28_288_354),  # torchvision
        ("convnext-t", 28_589_128),  # torchvision
        ("yolo", 3_151_904 - 16),  # Ultralytics' fused YOLOv8n, less its bins, which are not learnt
        ("unet", 31_037_698),  # milesial/Pytorch-UNet with two classes, without bilinear
        ("bert-tiny", 4_385_920 + 258),  # google/bert_uncased_L-2_H-128_A-2 and two labels
        ("bert-base", 109_482_240),  # bert-base-uncased, BertModel
        ("gpt2", 124_439_808),  # gpt2, GPT2LMHeadModel
        ("llama-7b", 6_738_415_616),  # meta-llama/Llama-2-7b-hf
        ("llama-7b-step", 6_738_415_616),
        ("keyword-spotter", 93_411),  # MatchboxNet-3x2x64: 93 k in the paper's table 1
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    learnt = (n for n in parameters(bare(name)).items() if not n[0].endswith(STATISTICS))
    assert sum(math.prod(shape) for _, shape in learnt) == count


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [  # torchvision's, as the metadata of its weights give them
        ("vgg16", 15.470),
        ("resnet18", 1.814),
        ("resnet34", 3.664),
        ("resnet50", 4.089),
        ("squeezenet", 0.349),
        ("googlenet", 1.498),
        ("inception-v3", 5.713),
        ("mobilenet-v2", 0.301),
        ("mobilenet-v3", 0.217),
        ("efficientnet-b0", 0.386),
        ("shufflenet", 0.145),
        ("densenet121", 2.834),
        ("regnet", 0.402),
        ("vit-b16", 17.564),
        ("swin-t", 4.491),
        ("convnext-t", 4.456),
    ],
)
def test_products_are_the_published_ones(name: str, gmacs: float) -> None:
    """One multiplication and addition for each output and row of the weights or right factor."""
    found, weights = shapes(bare(name)), parameters(bare(name))
    macs = 0
    for node in bare(name).graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            macs += math.prod(found[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type == "MatMul":
            macs += math.prod(found[node.output[0]]) * found[node.input[0]][-1]
    assert round(macs / 1e9, 3) == gmacs


@pytest.mark.parametrize(("name", "count"), [("resnet18", 132_500), ("squeezenet", 50_962)])
def test_products_are_those_that_pimcomp_counts(name: str, count: int) -> None:
    """One mvmul per output position and block of 128 rows, however many columns."""
    found, weights = shapes(bare(name)), parameters(bare(name))
    assert count == sum(
        math.prod(found[node.output[0]][2:])
        * math.ceil(math.prod(weights[node.input[1]][1:]) / 128)
        for node in bare(name).graph.node
        if node.op_type in {"Conv", "Gemm"}
    )
